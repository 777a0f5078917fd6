"""Putting the tensors of a LoRA on a model, and adding them to its weights, with nothing left over on either side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from serxbench.adapters._lora_keys import match_modules, names_in_file, split_key
from serxbench.errors import AdapterError

#: peft's name of an adapter that is given none.
_NAME = "default"

#: Two roundings to bfloat16, relative.
_ROUNDING = 2**-7


def attach(model: Any, config: Mapping[str, Any], tensors: Mapping[str, Any]) -> Any:
    """peft's tuner, with the adapter beside the model's weights; the model itself is changed and answers with it.

    Raises AdapterError unless every tensor has a place in the model, every place has a tensor, and the modules are
    those that the adapter's configuration says it trained.
    """
    keys = {name: split_key(name) for name in tensors}
    modules = {name: module for name, module in model.named_modules() if name}
    matched = match_modules((key.module for key in keys.values()), modules)
    in_file = names_in_file(modules, matched)
    adapted = {matched[key.module] for key in keys.values() if key.is_lora}
    if not adapted:
        raise AdapterError("the adapter holds no LoRA weights")
    whole = {name for name, key in keys.items() if not key.is_lora and _is_saved(key.module, config)}
    _check_untied(model, adapted | {matched[keys[name].module] for name in whole})
    _check_targets(config, adapted, in_file)
    places = {name: f"{matched[key.module]}.{key.parameter}" for name, key in keys.items()}
    parameters = dict(model.named_parameters())
    wanted = {name for name in parameters if _is_saved(in_file[name.rpartition(".")[0]], config)}
    _assign(parameters, wanted, {places[name]: name for name in whole}, tensors)
    for name, key in keys.items():
        if not key.is_lora and name not in whole:
            _check_same(name, tensors[name], parameters.get(places[name]))
    tuner = _inject(model, config, {module: in_file[module] for module in adapted})
    parameters = dict(model.named_parameters())
    wanted = {name for name in parameters if ".lora_" in name}
    _assign(parameters, wanted, {places[name]: name for name, key in keys.items() if key.is_lora}, tensors)
    return tuner


def merge(tuner: Any) -> None:
    """Adds the LoRA to the weights of the model it is on: in float32, each weight rounded once to the model's format.

    Raises AdapterError if a sum is not finite.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [layer for layer in tuner.model.modules() if isinstance(layer, BaseTunerLayer)]
    for layer in layers:
        base: Any = layer.get_base_layer()
        dtype = base.weight.dtype
        base.float()
        try:
            layer.merge(safe_merge=True)
        except ValueError as error:
            raise AdapterError(f"the adapter cannot be merged ({error})") from error
        base.to(dtype)
    tuner.unload()


def _is_saved(module: str, config: Mapping[str, Any]) -> bool:
    """Whether the adapter was trained with this whole module, and not with a LoRA on it; peft's own rule."""
    return any(re.match(rf"(^|.*\.){name}($|\..*)", module) for name in config.get("modules_to_save") or ())


def _check_untied(model: Any, changed: set[str]) -> None:
    """Raises AdapterError if a weight that the adapter changes is another module's too, which would change with it."""
    owners: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        other = owners.setdefault(id(parameter), name)
        if other != name and {name.rpartition(".")[0], other.rpartition(".")[0]} & changed:
            raise AdapterError(f"the base ties '{name}' to '{other}', and the adapter changes one of the two")


def _check_targets(config: Mapping[str, Any], adapted: set[str], in_file: Mapping[str, str]) -> None:
    """Raises AdapterError unless the adapter has weights for just the modules that its configuration names."""
    from peft import LoraConfig
    from peft.tuners.tuners_utils import check_target_module_exists

    names = ("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save")
    try:
        targets = LoraConfig(**{name: config[name] for name in names if config.get(name)})
        named = {module for module, name in in_file.items() if check_target_module_exists(targets, name)}
    except (TypeError, ValueError, re.error) as error:
        raise AdapterError(f"the adapter's configuration cannot be read by peft ({error})") from error
    if absent := sorted(named - adapted):
        raise AdapterError(
            f"the adapter was trained on {len(named)} modules and lacks the weights of {len(absent)} "
            f"(the first: '{absent[0]}')"
        )
    if odd := sorted(adapted - named):
        raise AdapterError(f"the adapter has weights for '{in_file[odd[0]]}', which its target_modules do not name")


def _inject(model: Any, config: Mapping[str, Any], modules: Mapping[str, str]) -> Any:
    """peft's tuner, with untrained LoRA layers in just these modules. modules: path in the model → in the file."""
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    # The patterns of the training know the modules by its names; one exact pattern a module replaces them.
    patterns: dict[str, Any] = {
        name: {f"^{re.escape(module)}": _look_up(config[name], path, of_all) for module, path in modules.items()}
        for name, of_all in (("rank_pattern", config.get("r", 8)), ("alpha_pattern", config.get("lora_alpha", 8)))
        if config.get(name)
    }
    kept = ("r", "lora_alpha", "use_rslora", "use_dora", "lora_bias", "fan_in_fan_out")
    try:
        wanted = LoraConfig(
            target_modules="|".join(re.escape(module) for module in sorted(modules)),
            inference_mode=True,
            **{name: config[name] for name in kept if name in config},
            **patterns,
        )
        return LoraModel(model, {_NAME: wanted}, _NAME)
    except (TypeError, ValueError) as error:
        raise AdapterError(f"peft cannot put the adapter on the base ({error})") from error


def _look_up(pattern: Mapping[str, int], path: str, otherwise: int) -> int:
    """The value of the first pattern that ends the path, as peft looks it up."""
    return next((value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", path)), otherwise)


def _assign(
    parameters: Mapping[str, Any], wanted: Iterable[str], given: Mapping[str, str], tensors: Mapping[str, Any]
) -> None:
    """Gives each parameter of `wanted` its tensor; raises AdapterError if one is left over. given: parameter → name."""
    wanted = set(wanted)
    for name in sorted(wanted | given.keys()):
        if name not in wanted:
            raise AdapterError(f"the adapter's tensor '{given[name]}' has no place in the base (no '{name}')")
        if name not in given:
            raise AdapterError(f"the adapter lacks a tensor: nothing in it is the base's '{name}'")
        parameter, tensor = parameters[name], tensors[given[name]]
        if tensor.shape != parameter.shape:
            raise AdapterError(
                f"the adapter's tensor '{given[name]}' has the shape {list(tensor.shape)}; "
                f"wanted {list(parameter.shape)}"
            )
        # peft computes in the format of the LoRA's own weights; in the base's it would lose what was trained.
        parameter.data = tensor.float() if ".lora_" in name else tensor.to(parameter.dtype)


def _check_same(name: str, tensor: Any, parameter: Any) -> None:
    """Raises AdapterError unless a frozen weight that the adapter carries along is the base's own."""
    import torch

    if parameter is None:
        raise AdapterError(f"the adapter's tensor '{name}' has no place in the base")
    if tensor.shape != parameter.shape:
        raise AdapterError(
            f"the adapter's tensor '{name}' has the shape {list(tensor.shape)} and the base's {list(parameter.shape)}: "
            "it was trained on another base, or with another vocabulary"
        )
    if not torch.allclose(tensor.float(), parameter.float(), rtol=_ROUNDING, atol=1e-6):
        raise AdapterError(f"the adapter carries its base's '{name}', and that is not this base's: it had another")

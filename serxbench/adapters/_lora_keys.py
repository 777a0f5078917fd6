"""Names in a LoRA file → names in the loaded model, whatever release of transformers the file was trained with.

Releases move modules: transformers 4 knew `language_model.model.layers.0` and `language_model.lm_head`, transformers 5
knows `model.language_model.layers.0` and `lm_head`. peft matches names as they stand, skips what it does not find, and
the model then answers like its base. Here a name finds its module by its longest suffix in the model at hand, and one
that fits nowhere, or in two places, is an error.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from serxbench.errors import AdapterError

_LORA = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)"
    r"(?:\.default)?(?:\.(?P<kind>weight|bias))?"
)
_OTHER = re.compile(r"(?P<module>.+?)(?P<base>\.base_layer)?\.(?P<kind>[^.]+)")
_EMBEDDING = ("lora_embedding_A", "lora_embedding_B")


@dataclass(frozen=True, kw_only=True)
class Key:
    """A tensor's name in a LoRA file, taken apart.

    module: the path of the module, in the file's names. parameter: which of the module's, in peft's names.
    of_base: it is a weight of the frozen base, not of the LoRA.
    """

    module: str
    parameter: str
    is_lora: bool
    of_base: bool = False


def split_key(key: str) -> Key:
    """The parts of a tensor's name.

    >>> split_key("base_model.model.lm_head.lora_A.weight")
    Key(module='lm_head', parameter='lora_A.default.weight', is_lora=True, of_base=False)
    >>> split_key("base_model.model.lm_head.base_layer.weight").of_base
    True
    """
    name = key.removeprefix("base_model.model.")
    if found := _LORA.fullmatch(name):
        part, kind = found["part"], found["kind"]
        # The two of an embedding are tensors themselves, the others are modules with a weight.
        suffix = "" if part in _EMBEDDING else f".{kind or 'weight'}"
        return Key(module=found["module"], parameter=f"{part}.default{suffix}", is_lora=True)
    found = _OTHER.fullmatch(name)
    if found is None:
        raise AdapterError(f"the adapter's tensor '{key}' is named after no module")
    return Key(module=found["module"], parameter=found["kind"], is_lora=False, of_base=found["base"] is not None)


def match_modules(wanted: Iterable[str], modules: Iterable[str]) -> dict[str, str]:
    """Path in the file → path in the model, for each of `wanted`; no two share a module.

    Raises AdapterError naming the first that the model lacks, or that fits several modules.

    >>> match_modules(["llm.model.layers.0.q"], ["model.llm.layers.0.q", "model.encoder.layers.0.q"])
    {'llm.model.layers.0.q': 'model.llm.layers.0.q'}
    """
    by_last: dict[str, list[str]] = defaultdict(list)
    for module in modules:
        by_last[module.rpartition(".")[2]].append(module)
    matched: dict[str, str] = {}
    taken: dict[str, str] = {}
    for path in sorted(set(wanted)):
        module = _match(path, by_last[path.rpartition(".")[2]])
        if module in taken:
            raise AdapterError(f"the adapter's modules '{taken[module]}' and '{path}' are both the model's '{module}'")
        matched[path], taken[module] = module, path
    return matched


def _match(path: str, candidates: list[str]) -> str:
    if path in candidates:
        return path
    names = path.split(".")
    ranked: dict[tuple[int, int], list[str]] = defaultdict(list)
    for candidate in candidates:
        others = candidate.split(".")
        n = _common_suffix(names, others)
        before, other_before = names[: len(names) - n], others[: len(others) - n]
        # A number left over is another layer; only names of containers may differ.
        if not any(name.isdigit() for name in (*before, *other_before)):
            ranked[n, len(set(before) & set(other_before))].append(candidate)
    if not ranked:
        raise AdapterError(f"the adapter has weights for '{path}', and the base has no such module")
    best = ranked[max(ranked)]
    if len(best) > 1:
        raise AdapterError(f"the adapter's module '{path}' may be any of the base's {', '.join(sorted(best))}")
    return best[0]


def _common_suffix(names: list[str], others: list[str]) -> int:
    n = 0
    while n < min(len(names), len(others)) and names[-1 - n] == others[-1 - n]:
        n += 1
    return n


def names_in_file(modules: Iterable[str], matched: Mapping[str, str]) -> dict[str, str]:
    """Path in the model → the path by which the training run knew that module, as far as `matched` tells.

    >>> names_in_file(["model.a.0.q", "model.a.0.k", "model.b"], {"a.model.0.q": "model.a.0.q"})
    {'model.a.0.q': 'a.model.0.q', 'model.a.0.k': 'a.model.0.k', 'model.b': 'model.b'}
    """
    known = {module: path for path, module in matched.items()}
    moved = _moved_prefixes(matched)
    prefixes = sorted(moved, key=len, reverse=True)

    def name(module: str) -> str:
        if module in known:
            return known[module]
        prefix = next((each for each in prefixes if f"{module}.".startswith(f"{each}." if each else "")), None)
        return module if prefix is None else f"{moved[prefix]}.{module[len(prefix) :].strip('.')}".strip(".")

    return {module: name(module) for module in modules}


def _moved_prefixes(matched: Mapping[str, str]) -> dict[str, str]:
    """Prefix in the model → prefix in the file."""
    moved: dict[str, str] = {}
    added = set()
    for path, module in matched.items():
        names, others = path.split("."), module.split(".")
        n = _common_suffix(names, others)
        before, other_before = ".".join(names[: len(names) - n]), ".".join(others[: len(others) - n])
        added.add(before if not other_before else None)
        if other_before:
            moved[other_before] = before
    # A prefix in front of one module says nothing of the others; one in front of all of them does.
    return {"": added.pop() or ""} if len(added) == 1 and not moved else moved

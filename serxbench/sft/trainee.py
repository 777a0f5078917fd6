"""A model that learns: its inputs with the loss on the answer only, and which of its weights change."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from serxbench.adapters import Loading, find_adapter
from serxbench.adapters._quiet import hush_transformers
from serxbench.errors import AdapterError
from serxbench.records import Prompt
from serxbench.sft.recipe import Settings
from serxbench.sft.samples import Sample, draw
from serxbench.sft.targets import Variant

#: What the loss leaves out, as torch and transformers write it.
IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Samples as the model takes them. labels: (samples, longest), IGNORED wherever the token is not of the answer."""

    inputs: Mapping[str, torch.Tensor]
    labels: torch.Tensor

    @property
    def n_targets(self) -> int:
        """How many tokens the loss is over."""
        return int((self.labels != IGNORED).sum())

    def to(self, device: torch.device, dtype: torch.dtype) -> Batch:
        """The batch where the model is, features in its number format."""
        moved = {
            name: value.to(device, dtype) if value.is_floating_point() else value.to(device)
            for name, value in self.inputs.items()
        }
        return Batch(inputs=moved, labels=self.labels.to(device))


class Supervised(nn.Module):
    """A model whose forward pass is the loss: cross-entropy summed over the tokens of the answers.

    The output layer sees only the positions that predict such a token: with a vocabulary of 156,000 the logits of all
    others would take more memory than the model's own activations.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._kept: torch.Tensor | None = None
        model.get_output_embeddings().register_forward_pre_hook(self._keep)

    def _keep(self, module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return arguments if self._kept is None else (arguments[0][self._kept], *arguments[1:])

    def forward(self, inputs: Mapping[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """The sum over all tokens of the answers in the batch."""
        wanted = labels[:, 1:]
        self._kept = functional.pad(wanted != IGNORED, (0, 1), value=False)
        try:
            logits = self.model(**inputs, use_cache=False).logits
        finally:
            self._kept = None
        return functional.cross_entropy(logits.float(), wanted[wanted != IGNORED], reduction="sum")


class Trainee:
    """A loaded model in training.

    module: whose forward pass is the loss. trainable: name → parameter, of those that learn, in float32.
    n_weights: of the whole model.
    """

    def __init__(self, adapter: Any, family: str, settings: Settings) -> None:
        self._adapter, self.settings = adapter, settings
        module = find_adapter(family)
        if not hasattr(module, "ANSWER_END"):
            raise AdapterError(
                f"models of the family '{family}' cannot be fine-tuned here (no ANSWER_END in its module)"
            )
        self._end: str = module.ANSWER_END
        model = adapter._model
        torch.manual_seed(settings.seed)
        self._peft = _add_lora(model, module.LORA_MODULES, settings) if settings.method == "lora" else None
        if settings.gradient_checkpointing:
            use_gradient_checkpointing(model)
        self.trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.n_weights = sum(parameter.numel() for parameter in model.parameters())
        self.module = Supervised(model)
        self.device, self.dtype = model.device, model.dtype
        # The next step is built while this one computes; a tokenizer is no two threads' at a time.
        self._building = threading.Lock()

    def build(self, samples: Sequence[Sample], variant: Variant, epoch: int | None = None) -> Batch:
        """The samples as one batch, padded on the right. epoch: of which the speeds are drawn; None: as recorded.

        Raises AdapterError unless what the loss is over, decoded, is the answer to the letter.
        """
        with self._building:
            rows = [self._build_row(sample, variant, epoch) for sample in samples]
        fill = {"input_ids": self._adapter._pad_token, "labels": IGNORED}
        for name in rows[0]:
            # Features too: some processors make them as long as the clip.
            longest = max(row[name].shape[-1] for row in rows)
            for row in rows:
                row[name] = functional.pad(row[name], (0, longest - row[name].shape[-1]), value=fill.get(name, 0))
        joined = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
        return Batch(labels=joined.pop("labels"), inputs=joined)

    def _build_row(self, sample: Sample, variant: Variant, epoch: int | None) -> dict[str, torch.Tensor]:
        settings, target = self.settings, sample.target(variant)
        speed = 1.0 if epoch is None else draw(settings.speeds, "speed", settings.seed, epoch, sample.id)
        # The prompt is made by the code that makes it for a run, so that what is asked is what was trained on.
        row: dict[str, torch.Tensor] = dict(self._adapter.build_inputs([sample.waveform(speed)], _prompt_of(sample)))
        tokenizer = self._adapter._processor.tokenizer
        said = tokenizer(target + self._end, add_special_tokens=False, return_tensors="pt").input_ids
        n_asked = row["input_ids"].shape[1]
        row["input_ids"] = torch.cat([row["input_ids"], said], dim=1)
        row["attention_mask"] = torch.cat([row["attention_mask"], torch.ones_like(said)], dim=1)
        row["labels"] = row["input_ids"].clone()
        row["labels"][:, :n_asked] = IGNORED
        if row["labels"].shape[1] > settings.max_tokens:
            raise AdapterError(
                f"{sample.id}: has {row['labels'].shape[1]} tokens, above max_tokens {settings.max_tokens}"
            )
        if (supervised := self.supervised_text(row["labels"][0])) != target + self._end:
            raise AdapterError(
                f"{sample.id}: the loss would be over {supervised!r}, and the answer is {target + self._end!r}; "
                "the tokenizer of this checkpoint does not give the text back"
            )
        return row

    def supervised_text(self, labels: torch.Tensor) -> str:
        """What the loss is over in one row of labels, decoded."""
        tokens = labels[labels != IGNORED].tolist()
        text: str = self._adapter._processor.tokenizer.decode(
            tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    def loss(self, batch: Batch, module: Any = None) -> torch.Tensor:
        """The loss, summed over the answers' tokens. module: `self.module`, or what accelerate wrapped it in."""
        batch = batch.to(self.device, self.dtype)
        with self._computing():
            loss: torch.Tensor = (module or self.module)(batch.inputs, batch.labels)
        return loss

    def _computing(self) -> Any:
        short = self.settings.dtype == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16) if short else contextlib.nullcontext()

    def save(self, folder: Path, base: str, base_folder: Path) -> None:
        """Writes what a run loads: the LoRA, or the whole checkpoint with the base's other files.

        base: what the LoRA's configuration says it was trained on.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if self._peft is not None:
            self._peft.peft_config["default"].base_model_name_or_path = base
            # Adapting the output layer makes peft store a copy of the base's, 1.3 GB of Qwen2-Audio.
            self._peft.save_pretrained(folder, save_embedding_layers=False)
            (folder / "README.md").unlink(missing_ok=True)  # a card with blanks to fill in
        else:
            _save_whole(self._adapter, folder, base_folder, self.settings.stored_as)


def load_trainee(family: str, loading: Loading, settings: Settings) -> Trainee:
    """The model of `loading` in training. Raises AdapterError."""
    hush_transformers()
    # Weights that learn are kept in float32: in a shorter format small updates are rounded away.
    dtype = settings.dtype if settings.method == "lora" else "float32"
    adapter = find_adapter(family).load(
        Loading(
            folder=loading.folder,
            prompt_style=loading.prompt_style,
            device=loading.device,
            dtype=dtype,
            settings=loading.settings,
        )
    )
    if settings.method == "full":
        _check_whole(adapter, loading.folder)
    return Trainee(adapter, family, settings)


def _check_whole(adapter: Any, folder: Path) -> None:
    """Raises AdapterError if the checkpoint holds more than the model that was loaded: it could not be written back."""
    stored = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if stored != (loaded := adapter._model.config.model_type):
        raise AdapterError(
            f"{folder}: is a checkpoint of type '{stored}', of which only the part '{loaded}' is loaded; train a LoRA "
            "on it, or start from a checkpoint of that part alone"
        )


def use_gradient_checkpointing(model: Any) -> None:
    """Makes the model keep no activations but compute them again in the backward pass."""
    how = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):  # its name since transformers 5.24
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=how)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=how)


def _prompt_of(sample: Sample) -> Prompt:
    return Prompt(name=sample.prompt, text=sample.question, sha256="")


def _add_lora(model: Any, modules: str, settings: Settings) -> Any:
    """peft's model around `model`, in which only the LoRA learns. Raises AdapterError if it is on no output layer."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise AdapterError(f"LoRA needs the package peft: pip install 'serxbench[sft]' ({error})") from error
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=modules,
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that it has given up
        peft = get_peft_model(model, config)
    if not any("lm_head.lora_A" in name for name, _ in model.named_parameters()):
        raise AdapterError("the model has no output layer named lm_head that a LoRA could go on")
    return peft


def _save_whole(adapter: Any, folder: Path, base: Path, stored_as: str) -> None:
    """The checkpoint, with the base's own configuration: the adapter has replaced parts of it in memory."""
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    if stored_as == "auto":
        stored_as = config.get("dtype") or config.get("torch_dtype") or "float32"
    model = adapter._model
    weights = {name: value.to(getattr(torch, stored_as)) for name, value in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=weights)
    for path in sorted(base.iterdir()):
        if path.suffix in (".json", ".jinja", ".model", ".txt") and not path.name.endswith(".index.json"):
            shutil.copyfile(path, folder / path.name)

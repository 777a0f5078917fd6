"""Reads an export with LLaMA-Factory's own code, and holds its tokens against those of `serxbench sft`.

    pip download --no-deps llamafactory && unzip llamafactory-*.whl -d FOLDER
    serxbench sft export RECIPE --format llamafactory --out OUT --variants with-reason,without-reason
    python benchmarks/llamafactory.py FOLDER OUT

For every sample: LLaMA-Factory's parser reads dataset_info.json, its converter takes the row, its template and its
audio plugin make the tokens and the labels; they must be those that this package trains on in the prompt style
`llamafactory`, but for the line break that LLaMA-Factory teaches after the end of the turn. Nothing of it is installed;
torchaudio, which it reads clips with, is replaced by soundfile.
"""

from __future__ import annotations

import importlib.machinery
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import soundfile
import torch


def main() -> None:
    """Prints what was compared; exit code 1 if anything differs."""
    sys.path.insert(0, sys.argv[1])
    out = Path(sys.argv[2])
    torchaudio = ModuleType("torchaudio")
    torchaudio.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    torchaudio.load = lambda path: (torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None], 16_000)
    sys.modules["torchaudio"] = torchaudio
    import yaml
    from llamafactory.data.converter import get_dataset_converter
    from llamafactory.data.parser import get_dataset_list

    n_failed = 0
    for path in sorted(out.glob("*.yaml")):
        arguments = yaml.safe_load(path.read_text())
        names = [arguments["dataset"], arguments["eval_dataset"]]
        for attributes in get_dataset_list(names, arguments["dataset_dir"]):
            rows = json.loads((out / attributes.dataset_name).read_text())
            convert = get_dataset_converter(attributes.formatting, attributes, SimpleNamespace(media_dir=str(out)))
            n_failed += compare(path.stem, arguments, rows, convert)
    sys.exit(1 if n_failed else 0)


def compare(variant: str, arguments: dict[str, Any], rows: list[dict[str, Any]], convert: Any) -> int:
    """One line for a dataset; how many of its rows differ."""
    from llamafactory.data.processor.supervised import SupervisedDatasetProcessor
    from llamafactory.data.template import TEMPLATES
    from transformers import AutoProcessor

    from serxbench.adapters import Loading
    from serxbench.adapters.qwen2_audio import ANSWER_END, load_renderer
    from serxbench.audio import read_audio
    from serxbench.records import Prompt

    folder = Path(arguments["model_name_or_path"])
    processor = AutoProcessor.from_pretrained(folder)
    processor.audio_sampling_rate = 16_000
    template = TEMPLATES[arguments["template"]]
    theirs = SupervisedDatasetProcessor(
        template=template,
        tokenizer=processor.tokenizer,
        processor=processor,
        data_args=SimpleNamespace(
            cutoff_len=arguments["cutoff_len"], train_on_prompt=False, mask_history=False, efficient_eos=False
        ),
    )
    ours = load_renderer(Loading(folder=folder, prompt_style="llamafactory"))
    n_different = 0
    for row in rows:
        aligned = convert(row)
        tokens, labels = theirs._encode_data_example(
            prompt=aligned["_prompt"],
            response=aligned["_response"],
            system=aligned["_system"],
            tools=aligned["_tools"],
            images=[],
            videos=[],
            audios=aligned["_audios"],
        )
        question = row["messages"][0]["content"].removeprefix("<audio>")
        waveform = read_audio(Path(row["audios"][0])).waveform
        asked = ours.build_tokens(waveform, Prompt(name="", text=question, sha256=""))
        said = processor.tokenizer(row["messages"][1]["content"] + ANSWER_END, add_special_tokens=False).input_ids
        after = processor.tokenizer("\n", add_special_tokens=False).input_ids
        wanted = [-100] * len(asked) + said
        same = tokens in (asked + said, asked + said + after) and labels in (wanted, wanted + after)
        n_different += not same
        if not same and n_different == 1:
            print(processor.tokenizer.decode(tokens), labels, asked + said, sep="\n")
    print(
        f"{variant}: {len(rows)} samples read by LLaMA-Factory's converter, {n_different} with other tokens or labels"
    )
    return n_different


if __name__ == "__main__":
    main()

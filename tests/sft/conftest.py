"""A small corpus with rationales and splits, a recipe for it, and tiny checkpoints to train."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import yaml
from conftest import write_rows

WriteRecipe = Callable[..., Path]


@pytest.fixture(scope="session")
def patient_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hears 30 seconds, as the real one does."""
    return tiny_models.qwen2_audio(tmp_path_factory.mktemp("checkpoints") / "patient", chunk_seconds=30)


@pytest.fixture
def corpus(tmp_path: Path, write_clip: Callable[..., Path]) -> Path:
    """24 utterances of six speakers to train on, four of two others to test with."""
    labels = ["Angry", "Sad", "Happy", "Neutral"]
    rows = []
    for n in range(28):
        split, speaker = ("train", f"s{n % 6}") if n < 24 else ("test", f"t{n % 2}")
        clip = write_clip(f"clips/u{n:02}.wav", seconds=0.3 + 0.05 * (n * 5 % 28))
        row = {"id": f"u{n:02}", "audio": str(clip.relative_to(tmp_path)), "speaker": speaker, "split": split}
        rows.append({**row, "transcript": f"Sentence {n}, naïvely.", "consensus": labels[n % 4]})
    return write_rows(tmp_path / "corpus.jsonl", rows)


@pytest.fixture
def rationales(tmp_path: Path, corpus: Path) -> Path:
    rows = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
    return write_rows(
        tmp_path / "rationales.jsonl",
        [
            {
                "id": row["id"],
                "emotion": row["consensus"],
                "transcript": row["transcript"],
                "rationale": f"The pitch is {'low' if n % 2 else 'high'}.",
            }
            for n, row in enumerate(rows)
            if row["split"] == "train"
        ],
    )


@pytest.fixture
def write_recipe(tmp_path: Path, corpus: Path, rationales: Path, tiny_checkpoint: Path) -> WriteRecipe:
    """Writes a recipe for the corpus; keywords replace its keys, and `settings` is added to what makes it quick."""

    def write(name: str = "recipe", settings: dict[str, Any] | None = None, **changes: Any) -> Path:
        quick = {"learning_rate": 0.01, "epochs": 2, "samples_per_step": 4, "validation_share": 0.2, "save_every": 2}
        recipe = {
            "name": name,
            "base": str(tiny_checkpoint),
            "prompts": ["open", "closed"],
            "corpora": [{"data": f"manifest:{corpus}#train", "rationales": str(rationales)}],
            "settings": {**quick, **(settings or {})},
            **changes,
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe))
        return path

    return write

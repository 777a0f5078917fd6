"""What identifies files: sha256 over their bytes, and over the files that a model is loaded from."""

from __future__ import annotations

import hashlib
from pathlib import Path

#: What a checkpoint folder holds that moves an answer: weights, configuration, tokenizer, chat template.
MODEL_FILES = (".safetensors", ".bin", ".pt", ".pth", ".npz", ".pkl", ".json", ".jinja", ".txt", ".model")


def hash_file(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_folder(folder: Path) -> str:
    """`sha256:…` over the names and bytes of the files that a model is loaded from; sub-folders are not looked into."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in MODEL_FILES and path.is_file():
            digest.update(f"{path.name}\0{hash_file(path)}\n".encode())
    return f"sha256:{digest.hexdigest()}"

"""Features kept on disk, so that a second prompt about the same clips does not extract them again.

What is kept is the result of one whole call of a feature extractor, under the hash of all that went into it: samples,
arguments, the extractor's settings and the packages that compute. So a hit gives the same bits as the call itself.
Batches of other clips (another batch size, another corpus) are other calls.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from serxbench.errors import AdapterError

_PACKAGES = ("numpy", "torch", "transformers")


class FeatureCache:
    """A folder of features. When it holds `most_bytes`, nothing is added; deleting it costs nothing but time."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder, self._most_bytes = folder, most_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._n_bytes = sum(path.stat().st_size for path in folder.glob("*/*.npz"))
        except OSError as error:
            raise AdapterError(f"{folder}: cannot hold features ({error.strerror or error})") from error

    def read(self, key: str) -> dict[str, Any] | None:
        """The arrays under the key; None if there are none, or they cannot be read."""
        try:
            with np.load(self._path(key), allow_pickle=False) as file:
                return _widen(dict(file))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def write(self, key: str, arrays: dict[str, Any]) -> None:
        """Keeps the arrays if there is room; a disk that is full costs the run nothing."""
        packed = io.BytesIO()
        np.savez(packed, **_narrow(arrays))
        raw = packed.getvalue()
        if self._n_bytes + len(raw) > self._most_bytes:
            return
        path = self._path(key)
        with contextlib.suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            # Several processes may keep the same call at once; whoever comes last wins, with the same bytes.
            descriptor, name = tempfile.mkstemp(dir=path.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(raw)
                os.replace(name, path)
            except OSError:
                os.unlink(name)
                raise
            self._n_bytes += len(raw)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.npz"


class RememberingExtractor:
    """A feature extractor whose calls are answered from a cache where they can be; in all else the extractor itself."""

    def __init__(self, extractor: Any, cache: FeatureCache) -> None:
        self._extractor, self._cache = extractor, cache
        settings = [type(extractor).__name__, extractor.to_json_string(), *map(version, _PACKAGES)]
        self._settings = "\n".join(settings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._extractor, name)

    def __call__(self, waveforms: Any, **settings: Any) -> Any:
        """What the extractor gives, of the class that it gives."""
        import torch
        from transformers import BatchFeature

        key = self._key(waveforms, settings)
        if key is None:
            return self._extractor(waveforms, **settings)
        if (kept := self._cache.read(key)) is not None:
            return BatchFeature({name: torch.from_numpy(array) for name, array in kept.items()})
        found = self._extractor(waveforms, **settings)
        if all(isinstance(value, torch.Tensor) for value in found.values()):
            self._cache.write(key, {name: value.numpy() for name, value in found.items()})
        return found

    def _key(self, waveforms: Any, settings: dict[str, Any]) -> str | None:
        """None for a call that is not about arrays, or asks for something else than tensors."""
        several = waveforms if isinstance(waveforms, (list, tuple)) else [waveforms]
        if str(settings.get("return_tensors")) not in ("pt", "TensorType.PYTORCH"):
            return None
        if not all(isinstance(each, np.ndarray) for each in several):
            return None
        digest = hashlib.sha256(self._settings.encode())
        digest.update(repr((isinstance(waveforms, np.ndarray), sorted(settings.items()))).encode())
        for each in several:
            digest.update(f"\n{each.dtype} {each.shape}\n".encode())
            digest.update(np.ascontiguousarray(each).tobytes())
        return digest.hexdigest()


#: What the names of an array's parts end in: what is left of it, and the frame that filled the rest.
_REST, _FILL = ".rest", ".fill"


def _narrow(arrays: dict[str, Any]) -> dict[str, Any]:
    """The arrays without the silence that clips are padded with: frames at the end that are one number a clip."""
    narrow: dict[str, Any] = {}
    for name, array in arrays.items():
        if array.ndim != 3:
            narrow[name] = array
            continue
        fill = array[:, :1, -1:]
        sounding = np.flatnonzero((array != fill).any(axis=(0, 1)))
        n_kept = int(sounding[-1]) + 1 if len(sounding) else 0
        narrow[name] = array[:, :, :n_kept]
        narrow[name + _FILL] = fill
        narrow[name + _REST] = np.array(array.shape[2] - n_kept)
    return narrow


def _widen(narrow: dict[str, Any]) -> dict[str, Any]:
    """What _narrow was given."""
    arrays = {}
    for name, array in narrow.items():
        if name.endswith((_REST, _FILL)):
            continue
        if name + _REST in narrow:
            shape = (*array.shape[:2], int(narrow[name + _REST]))
            array = np.concatenate([array, np.broadcast_to(narrow[name + _FILL], shape)], axis=2)
        arrays[name] = array
    return arrays

"""The mean and standard deviation in a pickle, read without running anything that the pickle asks for.

Unpickling calls whatever functions a file names. Here every name is refused but the three that a NumPy scalar is made
of, and these stand for the harmless functions below, which turn bytes into a float.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
from pathlib import Path
from typing import Any

from serxbench.errors import AdapterError

#: Two scalars take under 300 bytes in any protocol.
_MAX_BYTES = 4096

_FORMATS = {"f4": "f", "f8": "d"}


def read_two_floats(path: Path) -> tuple[float, float]:
    """The pair in the file. Raises AdapterError for anything but two finite numbers."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise AdapterError(f"{path}: cannot be read ({error.strerror or error})") from error
    wanted = "a pair (mean, standard deviation) of floats was wanted; give settings.mean and settings.std instead"
    if len(raw) > _MAX_BYTES:
        raise AdapterError(f"{path}: {len(raw)} bytes; {wanted}")
    try:
        found = _FloatsOnly(io.BytesIO(raw)).load()
    except Exception as error:  # a damaged or hostile pickle raises any of many unrelated types
        raise AdapterError(f"{path}: is refused ({error}); {wanted}") from error
    if not isinstance(found, (tuple, list)) or len(found) != 2 or not all(_is_finite(value) for value in found):
        raise AdapterError(f"{path}: {wanted}")
    return float(found[0]), float(found[1])


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class _Dtype:
    """Stands for numpy.dtype: which float, and in which byte order."""

    def __init__(self, code: str, *_: object) -> None:
        self.code = str(code)
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"


def _scalar(dtype: _Dtype, raw: bytes) -> float:
    """Stands for numpy's scalar constructor."""
    if not isinstance(dtype, _Dtype) or dtype.code not in _FORMATS:
        raise pickle.UnpicklingError("a NumPy scalar that is no 32- or 64-bit float")
    value: float = struct.unpack(dtype.order + _FORMATS[dtype.code], raw)[0]
    return value


def _latin1(text: str, *_: object) -> bytes:
    """Stands for codecs.encode, by which old protocols write bytes."""
    return str(text).encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _latin1,
}


class _FloatsOnly(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return _STAND_INS[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module_name}.{global_name}, which is never called") from None

"""Array types of the metrics, and the checks that every public function makes on what it is given.

Classes are integers 0 … C−1. The number C is the ninth answer of the protocol: `Other`, or no usable answer.
It can be a prediction or a vote; it is never a class of a macro average.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from serxbench.errors import MetricError

Integers = NDArray[np.intp]
Mask = NDArray[np.bool_]
Reals = NDArray[np.float64]


def integers(values: ArrayLike, *, name: str, low: int, high: int) -> Integers:
    """`values` as a one-dimensional integer array. Raises MetricError if one lies outside low … high.

    >>> integers([0, 2, 9], name="predictions", low=0, high=8)
    Traceback (most recent call last):
    serxbench.errors.MetricError: predictions: item 2 is 9, wanted 0 … 8 (8 stands for Other or no answer)
    """
    # asanyarray keeps the mask of a masked array, which asarray would drop with the numbers under it kept.
    array = np.asanyarray(values)
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise MetricError(f"{name}: masked entries found, wanted a number for each item; select the items first")
    if array.ndim != 1:
        raise MetricError(f"{name}: an array of shape {array.shape}, wanted one number per item")
    if array.size and not _is_whole(array):
        raise MetricError(f"{name}: values of type {array.dtype}, wanted whole numbers (class indices)")
    whole = array.astype(np.intp)
    outside = np.flatnonzero((whole < low) | (whole > high))
    if outside.size:
        raise MetricError(
            f"{name}: item {outside[0]} is {array[outside[0]]}, wanted {low} … {high} "
            f"({high} stands for Other or no answer)"
        )
    return whole


def _is_whole(array: NDArray[Any]) -> bool:
    if array.dtype.kind == "f":
        return bool(np.isfinite(array).all() and (array == np.floor(array)).all())
    return array.dtype.kind in "iu"


def counts(values: ArrayLike, *, name: str, columns: int | None = None) -> Integers:
    """`values` as a matrix of counts. Raises MetricError for fractions, negatives or a wrong width."""
    array = np.asarray(values)
    if array.ndim != 2 or (columns is not None and array.shape[1] != columns):
        wanted = "items × classes" if columns is None else f"items × {columns} (classes, then Other)"
        raise MetricError(f"{name}: an array of shape {array.shape}, wanted {wanted}")
    if array.size and not _is_whole(array):
        raise MetricError(f"{name}: values of type {array.dtype}, wanted whole numbers (one per vote)")
    if array.size and array.min() < 0:
        item = int(np.argwhere(array < 0)[0][0])
        raise MetricError(f"{name}: item {item} has a negative count {array[item].tolist()}")
    return array.astype(np.intp)


def mask(values: ArrayLike, *, name: str, shape: tuple[int, ...]) -> Mask:
    """`values` as a boolean array of exactly that shape; raises MetricError otherwise."""
    array = np.asarray(values)
    if array.shape != shape or array.dtype != np.bool_:
        raise MetricError(f"{name}: {array.dtype} of shape {array.shape}, wanted booleans of shape {shape}")
    return array


def same_length(**arrays: NDArray[Any]) -> int:
    """The length that all arrays share. Raises MetricError if they differ or are empty."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise MetricError(f"{found}: wanted one of each per item, in the same order")
    n_items = next(iter(lengths.values()))
    if n_items == 0:
        raise MetricError("no items: there is nothing to score")
    return n_items


def fingerprint_of(*arrays: NDArray[Any] | None) -> str:
    """Hash of the arrays, in their order: systems can be compared item by item only if their references' are equal."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def one_hot(labels: Integers, n_classes: int) -> Reals:
    """Rows with a 1 at the label; a row of zeros for C (Other, or no usable answer)."""
    return np.asarray(labels[:, None] == np.arange(n_classes), dtype=np.float64)


def distinct_rows(columns: Integers) -> tuple[Integers, Integers]:
    """For an integer matrix: the index of one item of each kind of row, and for every item which kind it is.

    Kinds are numbered in the order of their values, so the numbering does not depend on the order of the
    items.

    >>> first, kind = distinct_rows(np.array([[1, 0], [0, 2], [1, 0]]))
    >>> first.tolist(), kind.tolist()
    ([1, 0], [1, 0, 1])
    """
    widths = [int(top) + 1 for top in columns.max(axis=0)] if len(columns) else []
    n_keys = float(np.prod(np.asarray(widths, dtype=np.float64)))
    if not widths or n_keys >= 2.0**62:
        _, first, kind = np.unique(columns, axis=0, return_index=True, return_inverse=True)
        return first.astype(np.intp), kind.reshape(-1).astype(np.intp)
    key = np.zeros(len(columns), dtype=np.intp)
    for column, width in zip(columns.T, widths, strict=True):
        key = key * width + column
    if n_keys > _DENSE * len(columns) + 100_000:
        _, first, kind = np.unique(key, return_index=True, return_inverse=True)
        return first.astype(np.intp), kind.reshape(-1).astype(np.intp)
    occurs = np.zeros(int(n_keys), dtype=np.bool_)  # a table of all keys instead of a sort of all items
    occurs[key] = True
    kind = (np.cumsum(occurs) - 1)[key]
    first = np.empty(int(occurs.sum()), dtype=np.intp)
    first[kind[::-1]] = np.arange(len(columns))[::-1]  # the last assignment stays: the first item of its kind
    return first, kind


#: A table of keys may have this many entries per item.
_DENSE = 8

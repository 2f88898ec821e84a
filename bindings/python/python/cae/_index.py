"""NumPy's indexing on boxes: which indices of each dimension are needed, and what to do with what was read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from ._errors import ArgumentError

Read = Callable[[list[int], list[int]], np.ndarray[Any, Any]]


def expanded(key: Any, shape: Sequence[int]) -> list[Any]:
    """One index for each dimension and each new axis: ellipses replaced, Boolean arrays as those of integers."""
    parts = list(key) if isinstance(key, tuple) else [key]
    plain: list[Any] = []
    for part in parts:
        if part is None or part is Ellipsis or isinstance(part, slice):
            plain.append(part)
        elif isinstance(part, (bool, np.bool_)):
            raise IndexError("an index of a single Boolean is not supported")
        elif hasattr(part, "__index__") and np.ndim(part) == 0:
            plain.append(part.__index__())
        else:
            array = np.asarray(part)
            if array.size == 0 and array.dtype == np.float64:
                array = array.astype(np.intp)
            if array.dtype == np.bool_:
                plain.append(array)
            elif array.dtype.kind in "iu":
                plain.append(array.astype(np.intp))
            else:
                raise IndexError(
                    f"only integers, slices, ..., None and arrays of integers or Booleans index, not {part!r}"
                )
    # A Boolean array of n dimensions stands for n of the array's.
    taken = sum(part.ndim if _is_mask(part) else 1 for part in plain if part is not None and part is not Ellipsis)
    dots = sum(part is Ellipsis for part in plain)
    if dots > 1:
        raise IndexError("an index can only have a single ellipsis")
    if taken > len(shape):
        raise IndexError(f"{taken} indices for {len(shape)} dimensions")
    if not dots:
        plain.append(Ellipsis)
    at = next(i for i, part in enumerate(plain) if part is Ellipsis)
    plain[at : at + 1] = [slice(None)] * (len(shape) - taken)
    result: list[Any] = []
    dim = 0
    for part in plain:
        if part is None:
            result.append(None)
        elif _is_mask(part):
            if part.shape != tuple(shape[dim : dim + part.ndim]):
                raise IndexError(
                    f"a Boolean index of shape {part.shape} for dimensions {tuple(shape[dim : dim + part.ndim])}"
                )
            result.extend(part.nonzero())
            dim += part.ndim
        else:
            result.append(part)
            dim += 1
    return result


def _is_mask(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype == np.bool_


class _Needed:
    """The indices of one dimension that an index needs, ascending, and the index into those."""

    def __init__(self, index: Any, extent: int, dim: int) -> None:
        self.indices: range | np.ndarray[Any, Any]
        self.local: Any
        if isinstance(index, slice):
            wanted = range(*index.indices(extent))
            self.indices = wanted if wanted.step > 0 else wanted[::-1]
            self.local = slice(None) if wanted.step > 0 else slice(None, None, -1)
        elif isinstance(index, int):
            at = index + extent if index < 0 else index
            if not 0 <= at < extent:
                raise IndexError(f"index {index} is out of bounds for dimension {dim} with extent {extent}")
            self.indices, self.local = range(at, at + 1), 0
        else:
            if index.size and (int(index.min()) < -extent or int(index.max()) >= extent):
                raise IndexError(f"index out of bounds for dimension {dim} with extent {extent}")
            self.indices, self.local = np.unique(np.where(index < 0, index + extent, index), return_inverse=True)
            self.local = self.local.reshape(index.shape)

    def runs(self, frame: int) -> Iterator[tuple[int, int, slice, Any]]:
        """Runs of indices whose frames touch: first index, extent, place among the needed, selection of those read."""
        if isinstance(self.indices, range):
            wanted = self.indices
            if len(wanted) == 0 or wanted.step <= frame:
                cuts = [0, len(wanted)]
            else:
                cuts = list(range(len(wanted) + 1))
        else:
            frames = self.indices // frame
            cuts = [0, *(np.flatnonzero(np.diff(frames) > 1) + 1).tolist(), len(self.indices)]
        for a, b in zip(cuts, cuts[1:]):
            if a == b:
                continue
            part = self.indices[a:b]
            first, last = int(part[0]), int(part[-1])
            if isinstance(part, range):
                yield first, last - first + 1, slice(a, b), slice(None, None, part.step)
            else:
                yield first, last - first + 1, slice(a, b), part - first


def select(
    read: Read,
    key: Any,
    shape: Sequence[int],
    frame_shape: Sequence[int],
    dtype: np.dtype[Any],
    outer: bool = False,
) -> Any:
    """`array[key]`, asking `read` only for boxes whose every frame holds needed values in each dimension.

    With `outer`, several arrays of integers each select from their own dimension, as slices do.
    """
    if any(extent > np.iinfo(np.intp).max for extent in shape):
        raise ArgumentError("the array is too large for this machine")
    index = expanded(key, shape)
    dims = [part for part in index if part is not None]
    needed = [_Needed(part, extent, d) for d, (part, extent) in enumerate(zip(dims, shape))]
    runs = [list(n.runs(max(frame, 1))) for n, frame in zip(needed, frame_shape)]
    counts = [len(n.indices) for n in needed]
    whole: np.ndarray[Any, Any] | None = None
    if all(len(r) == 1 for r in runs):
        whole = _box(read, [r[0] for r in runs])
    else:
        whole = np.empty(counts, dtype)
        for box in product(*runs):
            whole[tuple(run[2] for run in box)] = _box(read, box)
    if outer:
        for axis in reversed(range(len(needed))):
            whole = whole[(slice(None),) * axis + (needed[axis].local,)]
        return whole
    rest = iter(needed)
    local = tuple(None if part is None else next(rest).local for part in index)
    return whole[local]


def _box(read: Read, runs: Sequence[tuple[int, int, slice, Any]]) -> np.ndarray[Any, Any]:
    box = read([r[0] for r in runs], [r[1] for r in runs])
    for axis, run in enumerate(runs):
        if not (isinstance(run[3], slice) and run[3].step == 1):
            box = box[(slice(None),) * axis + (run[3],)]
    return box

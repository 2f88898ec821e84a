"""Reading files."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeAlias

import numpy as np

from . import _native
from ._bounds import Bound, BoundKind
from ._errors import ArgumentError, FormatError
from ._index import select

Path: TypeAlias = str | os.PathLike[str]
Limits: TypeAlias = Mapping[str, int]


class FileObject(Protocol):
    """What reads bytes of a file from anywhere in it: an open binary file, or one of fsspec's."""

    def seek(self, offset: int, whence: int = ..., /) -> int:
        """Goes to a byte, counted from the start, or for `whence` 2 from the end: which one it is."""

    def read(self, size: int = ..., /) -> bytes:
        """As many of the next bytes as there are, at most `size`."""


class Damage(NamedTuple):
    """A frame that cannot be decoded to the values that its writer checked."""

    array: str
    """Name of the array."""
    frame: int
    """Index of the frame in C order of the array's frames."""
    region: tuple[slice, ...]
    """The part of the array that it holds."""
    reason: str
    """What is wrong with it."""


class Array:
    """One array of an open file. Indexing it as a NumPy array decodes the frames that hold what was asked for, no others."""

    def __init__(self, file: File, info: _native.ArrayInfo, index: int) -> None:
        self._file, self._info, self._index = file, info, index

    @property
    def name(self) -> str:
        """The name, unique in the file."""
        return self._info.name

    @property
    def shape(self) -> tuple[int, ...]:
        """The extent of each dimension."""
        return tuple(self._info.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """`float32` or `float64`."""
        return np.dtype(self._info.dtype)

    @property
    def ndim(self) -> int:
        """Number of dimensions, at most 8."""
        return len(self._info.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self._info.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the decoded values."""
        return self.size * self.dtype.itemsize

    @property
    def dims(self) -> tuple[str, ...]:
        """One name a dimension, or none."""
        return tuple(self._info.dims)

    @property
    def attrs(self) -> dict[str, Any]:
        """The attributes. Raises `FormatError` where they are not the JSON object that they must be."""
        if not self._info.attributes:
            return {}
        try:
            attrs = json.loads(self._info.attributes)
        except (ValueError, RecursionError) as e:
            raise FormatError(f"attributes of {self.name!r}: {e}", "directory") from None
        if not isinstance(attrs, dict):
            raise FormatError(f"attributes of {self.name!r} are no JSON object", "directory")
        return attrs

    @property
    def bound(self) -> Bound:
        """How far values may be from their originals."""
        return _bound(self._info.bound)

    @property
    def chunks(self) -> tuple[int, ...]:
        """The extent of a frame in each dimension; frames at the upper edge are cut off there."""
        return tuple(self._info.frame_shape)

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return self._info.frames

    @property
    def stored_bytes(self) -> int:
        """Bytes of the frames."""
        return self._info.stored_bytes

    @property
    def model(self) -> str | None:
        """Digest of the model that decodes it."""
        index = self._info.model
        return None if index is None else self._file._native.models()[index][0]

    def __getitem__(self, key: Any) -> Any:
        return select(self._read, key, self._info.shape, self._info.frame_shape, self.dtype)

    def outer(self, key: Any) -> Any:
        """Indexing in which several arrays of integers each select from their own dimension, as slices do."""
        return select(self._read, key, self._info.shape, self._info.frame_shape, self.dtype, outer=True)

    def _read(self, start: list[int], extent: list[int]) -> np.ndarray[Any, Any]:
        return self._file._native.read(self._index, start, extent)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy is False:
            raise ValueError("a decoded array is always a new one")
        values: np.ndarray[Any, Any] = self._read([0] * self.ndim, list(self._info.shape))
        return values if dtype is None else values.astype(dtype, copy=False)

    def __len__(self) -> int:
        if not self._info.shape:
            raise TypeError("len() of an array without dimensions")
        return self._info.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<cae.Array {self.name!r} {self.shape} {self.dtype} {self.bound.kind}>"

    def __reduce__(self) -> Any:
        return _array, (self._file, self.name)

    def verify(self) -> list[Damage]:
        """Decodes every frame and compares it with its checksum and digest: the damaged ones."""
        bad, _ = self._file._native.verify(self._index)
        return [
            Damage(self.name, frame, tuple(slice(s, s + e) for s, e in zip(start, extent)), reason)
            for frame, start, extent, reason in bad
        ]


class File(Mapping[str, Array]):
    """An open file: its arrays by name, in the order of the file. Made by `open`, closed by `close` or a `with` block."""

    def __init__(self, native: _native.File, source: tuple[Any, dict[str, Any]]) -> None:
        self._native, self._source = native, source
        self._arrays = {info.name: Array(self, info, i) for i, info in enumerate(native.arrays())}

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self)} arrays"
        return f"<cae.File {state}>"

    # Two files are equal if they are the same, whatever their arrays hold.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __reduce__(self) -> Any:
        # Another process opens the file anew.
        source, options = self._source
        return _reopen, (source, options)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._native.closed

    @property
    def nbytes(self) -> int:
        """Bytes of the file."""
        return self._native.file_len

    @property
    def models(self) -> tuple[str, ...]:
        """Digests of the models that it names."""
        return tuple(digest for digest, _ in self._native.models())

    def model_bytes(self, digest: str) -> bytes:
        """The ONNX bytes of a model."""
        if digest not in self.models:
            raise ArgumentError(f"the file names no model {digest}")
        return self._native.model_bytes(self.models.index(digest))

    def close(self) -> None:
        """Lets go of the file. Its arrays can be read no more."""
        self._native.close()

    def verify(self) -> list[Damage]:
        """Decodes every frame of every array and compares it with its checksum and digest: the damaged ones."""
        return [damage for array in self.values() for damage in array.verify()]


def open(
    source: Path | bytes | bytearray | memoryview | FileObject,
    *,
    mmap: bool = True,
    limits: Limits | Literal["none"] | None = None,
    threads: int = 0,
    model_dirs: Sequence[Path] = (),
) -> File:
    """Opens the file at a path, the bytes of one, or one that an object with `seek` and `read` gives, such as fsspec's of a store.

    A file that is mapped must not be changed while it is open; `mmap=False` reads it into memory first. Of a file object no more is
    read than what is asked for needs, by threads in turns; it stays open. `limits` changes some
    of those named in the documentation, `"none"` lifts all. `threads` decode frames; 0 is one a processor. `model_dirs` hold
    models that the file only names, as `<digest>.onnx`.
    """
    return _open(
        bytes(source) if isinstance(source, memoryview) else source,
        {
            "mmap": mmap,
            "limits": plain_limits(limits),
            "threads": threads,
            "model_dirs": [os.fspath(d) for d in model_dirs],
        },
    )


def _open(source: Any, options: dict[str, Any]) -> File:
    arguments = {**options, "models": []}
    if isinstance(source, (bytes, bytearray)):
        del arguments["mmap"]
        native = _native.File.from_bytes(source, **arguments)
    elif hasattr(source, "read") and hasattr(source, "seek"):
        del arguments["mmap"]
        native = _native.File.from_object(source, **arguments)
    else:
        source = os.path.abspath(os.fspath(source))
        native = _native.File.open(source, **arguments)
    return File(native, (source, options))


def _reopen(source: Any, options: dict[str, Any]) -> File:
    return _open(source, options)


def _array(file: File, name: str) -> Array:
    return file[name]


def plain_limits(limits: Limits | Literal["none"] | None) -> dict[str, int]:
    """The changes to the default limits."""
    if limits == "none":
        return dict.fromkeys(LIMITS, 2**64 - 1)
    if limits is None:
        return {}
    if isinstance(limits, str) or not set(limits) <= set(LIMITS):
        raise ArgumentError(f'limits are "none" or some of {", ".join(LIMITS)}')
    return {name: int(value) for name, value in limits.items()}


LIMITS = (
    "memory",
    "array_bytes",
    "directory_bytes",
    "frame_values",
    "model_bytes",
    "model_nodes",
    "model_elements",
    "model_operations",
)


def decompress(data: bytes | bytearray | memoryview, name: str | None = None) -> np.ndarray[Any, Any]:
    """The array `name` of a whole file in memory, or its only one."""
    with open(data) as file:
        if name is None:
            if len(file) != 1:
                raise ArgumentError(f"the file holds {len(file)} arrays; name one of {', '.join(file)}")
            name = next(iter(file))
        elif name not in file:
            raise ArgumentError(f"no array {name!r} in the file")
        return np.asarray(file[name])


def _bound(parts: _native.BoundParts) -> Bound:
    kind: BoundKind = parts[0]  # type: ignore[assignment]
    return Bound(kind, *parts[1:])

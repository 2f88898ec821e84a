"""Stubs of the compiled part; `cae` is the interface."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Protocol, TypeAlias, final

import numpy as np

format_version: tuple[int, int]
has_tract: bool

BoundParts: TypeAlias = tuple[str, float | None, float | None, float | None]

class _Asked(Protocol):
    def __getitem__(self, key: str, /) -> Any: ...

class _FileObject(Protocol):
    def seek(self, offset: int, whence: int = ..., /) -> int: ...
    def read(self, size: int = ..., /) -> bytes: ...

@final
class Model:
    digest: str
    decoder: bytes
    encoder: bytes | None
    def __init__(self, decoder: bytes, encoder: bytes | None, limits: Mapping[str, int]) -> None: ...

@final
class ArrayInfo:
    name: str
    dtype: str
    shape: list[int]
    dims: list[str]
    attributes: str
    bound: BoundParts
    frame_shape: list[int]
    frames: int
    stored_bytes: int
    model: int | None

@final
class File:
    closed: bool
    file_len: int
    @staticmethod
    def open(
        path: str | PathLike[str],
        mmap: bool,
        limits: Mapping[str, int],
        threads: int,
        model_dirs: Sequence[str | PathLike[str]],
        models: Sequence[Model],
    ) -> File: ...
    @staticmethod
    def from_bytes(
        data: bytes | bytearray,
        limits: Mapping[str, int],
        threads: int,
        model_dirs: Sequence[str | PathLike[str]],
        models: Sequence[Model],
    ) -> File: ...
    @staticmethod
    def from_object(
        source: _FileObject,
        limits: Mapping[str, int],
        threads: int,
        model_dirs: Sequence[str | PathLike[str]],
        models: Sequence[Model],
    ) -> File: ...
    def close(self) -> None: ...
    def arrays(self) -> list[ArrayInfo]: ...
    def models(self) -> list[tuple[str, int]]: ...
    def model_bytes(self, index: int) -> bytes: ...
    def read(self, index: int, start: Sequence[int], extent: Sequence[int]) -> np.ndarray[Any, Any]: ...
    def verify(self, index: int) -> tuple[list[tuple[int, list[int], list[int], str]], int]: ...

@final
class Report:
    input_bytes: int
    stored_bytes: int
    bound: BoundParts
    max_error: float
    max_error_over_bound: float
    rmse: float
    psnr: float
    chosen: list[tuple[str, int]]
    guard: float | None
    fell_back: int

@final
class Writer:
    @staticmethod
    def create(path: str | PathLike[str]) -> Writer: ...
    @staticmethod
    def in_memory() -> Writer: ...
    def add_model(self, model: Model, embed: bool) -> int: ...
    def add(
        self,
        name: str,
        values: Any,
        asked: _Asked,
        bounds: Any | None,
        progress: Callable[[int, int], object] | None,
    ) -> Report: ...
    def copy_model(self, file: File, index: int) -> None: ...
    def copy_array(self, name: str, file: File, index: int) -> None: ...
    def finish(self) -> tuple[int, bytes | None]: ...
    def abandon(self) -> None: ...

def compress_frame(
    values: np.ndarray[Any, Any],
    dtype: str,
    shape: Sequence[int],
    kind: str,
    value: float | None,
    preset: str,
    fill: float | None,
    model: Model | None,
    threads: int,
) -> tuple[bytes, BoundParts, float, bool]: ...
def decompress_frame(
    data: Any,
    dtype: str,
    shape: Sequence[int],
    model: Model | None,
    limits: Mapping[str, int],
) -> np.ndarray[Any, Any]: ...

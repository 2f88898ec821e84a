"""Models that arrays need and that are kept outside of them, found by the digest of the decoder.

A frame in a Zarr or HDF5 chunk names no model; its container gives the SHA-256 of one. This module finds it: among those added
here, then as `<digest>.onnx` in the folders given here and in those of the environment variable `CAE_MODEL_PATH`.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from . import _native
from ._errors import ArgumentError, FormatError, Unsupported

Source: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str]

_lock = threading.Lock()
_known: dict[str, _native.Model] = {}
_folders: list[Path] = []
_finders: list[Callable[[str], bytes | None]] = []


def read(source: Source) -> bytes:
    """The bytes of a model given as bytes or as a path."""
    if isinstance(source, (str, os.PathLike)):
        return Path(source).read_bytes()
    return bytes(source)


def load(decoder: Source, encoder: Source | None = None) -> _native.Model:
    """Vets and loads a decoder, and the encoder that makes its latents."""
    return _native.Model(read(decoder), None if encoder is None else read(encoder), {})


def add(decoder: Source, encoder: Source | None = None) -> str:
    """Makes a model known to this process; its digest. Only writing needs the encoder."""
    data = read(decoder)
    digest = hashlib.sha256(data).hexdigest()
    loaded = known(digest)
    if loaded is None or (encoder is not None and loaded.encoder is None):
        loaded = load(data, encoder)
        with _lock:
            _known[digest] = loaded
    return digest


def add_folder(folder: str | os.PathLike[str]) -> None:
    """Looks for models as `<digest>.onnx` in `folder` too."""
    with _lock:
        _folders.append(Path(folder))


def add_finder(finder: Callable[[str], bytes | None]) -> None:
    """Asks `finder`, a function of the digest, for the bytes of models that are not known."""
    with _lock:
        _finders.append(finder)


def folders() -> list[Path]:
    """The folders that are looked in."""
    named = os.environ.get("CAE_MODEL_PATH", "")
    with _lock:
        return [*_folders, *(Path(f) for f in named.split(os.pathsep) if f)]


def known(digest: str) -> _native.Model | None:
    """The model of this digest if this process has loaded it."""
    with _lock:
        return _known.get(digest)


def find(digest: str) -> _native.Model:
    """The model of this digest, loaded."""
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise ArgumentError(f"{digest!r} is not the 64 lower-case hexadecimal digits of a model's SHA-256")
    loaded = known(digest)
    if loaded is not None:
        return loaded
    with _lock:
        finders = list(_finders)
    for data in _candidates(digest, finders):
        if hashlib.sha256(data).hexdigest() != digest:
            raise FormatError(f"the bytes of model {digest} do not have the digest that names it")
        add(data)
        with _lock:
            return _known[digest]
    raise Unsupported(f"model {digest} is not known: add it by cae.models, or name its folder in CAE_MODEL_PATH")


def _candidates(digest: str, finders: list[Callable[[str], bytes | None]]) -> list[bytes]:
    for folder in folders():
        path = folder / f"{digest}.onnx"
        if path.is_file():
            return [path.read_bytes()]
    for finder in finders:
        data = finder(digest)
        if data is not None:
            return [data]
    return []

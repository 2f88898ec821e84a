"""xarray's door: `xarray.open_dataset("x.cae")` reads lazily, frame by frame; `to_cae` writes a dataset.

A file that `to_cae` writes is one of plain arrays with dimension names and attributes. What the format has no words for is kept by
these rules: other types as the floats that hold their values, with the type in the attribute `_cae_dtype`; attributes of the
dataset as those of an array without a name and of shape 0; coordinates, times and text as the CF conventions encode them.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, ClassVar, Unpack

import numpy as np
import xarray as xr
from xarray.backends import AbstractDataStore, BackendArray, BackendEntrypoint
from xarray.backends.store import StoreBackendEntrypoint
from xarray.coding.strings import CharacterArrayCoder, EncodedStringCoder
from xarray.core import indexing

from . import _native
from ._bounds import BoundArguments, Preset, chosen
from ._errors import ArgumentError, Unsupported
from ._file import Array, File
from ._file import open as open_file
from ._write import ArrayReport, Progress, Writer

DTYPE = "_cae_dtype"
TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "S1")
INFO = "quantization_info"
SIGNATURE = b"\x89CAE\r\n\x1a\n"
# Attributes by which variables name others that locate or weigh them: these are kept bit for bit, as CF asks.
POINTERS = ("bounds", "climatology", "cell_measures", "formula_terms", "grid_mapping")


class CaeBackend(BackendEntrypoint):
    """Opens `.cae` files in xarray."""

    description: ClassVar[str] = "Open .cae files in xarray"
    open_dataset_parameters: ClassVar[tuple[str, ...] | None] = (
        "filename_or_obj",
        "mask_and_scale",
        "decode_times",
        "concat_characters",
        "decode_coords",
        "drop_variables",
        "use_cftime",
        "decode_timedelta",
        "limits",
        "threads",
        "model_dirs",
    )

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """By the name or, for bytes and file objects, the signature."""
        if isinstance(filename_or_obj, (str, os.PathLike)):
            return os.fspath(filename_or_obj).endswith(".cae")
        if _is_seekable(filename_or_obj):
            filename_or_obj.seek(0)
            found = filename_or_obj.read(len(SIGNATURE))
            filename_or_obj.seek(0)
            return bool(found == SIGNATURE)
        return isinstance(filename_or_obj, (bytes, bytearray, memoryview)) and bytes(filename_or_obj[:8]) == SIGNATURE

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: bool = True,
        decode_times: bool = True,
        concat_characters: bool = True,
        decode_coords: bool = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: bool | None = None,
        decode_timedelta: bool | None = None,
        limits: Any = None,
        threads: int = 0,
        model_dirs: Iterable[Any] = (),
    ) -> xr.Dataset:
        """A dataset whose variables decode the frames that they are asked for. `limits`, `threads`, `model_dirs`: see `cae.open`."""
        if hasattr(filename_or_obj, "read") and not _is_seekable(filename_or_obj):
            filename_or_obj = filename_or_obj.read()
        file = open_file(filename_or_obj, limits=limits, threads=threads, model_dirs=list(model_dirs))
        return StoreBackendEntrypoint().open_dataset(
            _Store(file),
            mask_and_scale=mask_and_scale,
            decode_times=decode_times,
            concat_characters=concat_characters,
            decode_coords=decode_coords,
            drop_variables=drop_variables,
            use_cftime=use_cftime,
            decode_timedelta=decode_timedelta,
        )


def _is_seekable(source: Any) -> bool:
    if not (hasattr(source, "read") and hasattr(source, "seek")):
        return False
    # Pipes have a method that fails.
    return bool(source.seekable()) if hasattr(source, "seekable") else True


class _Lazy(BackendArray):
    """An array of a file, in the type that it was saved from."""

    def __init__(self, array: Array, dtype: np.dtype[Any]) -> None:
        self.array, self.dtype, self.shape = array, dtype, array.shape

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> Any:
        values = self.array.outer(key)
        if self.dtype.kind == "S":
            return np.asarray(values).astype(np.uint8).view(self.dtype)
        return values.astype(self.dtype, copy=False)


class _Store(AbstractDataStore):
    def __init__(self, file: File) -> None:
        self._file = file
        self._variables: dict[str, xr.Variable] = {}
        self._attrs: dict[str, Any] = {}
        lossy = False
        for array in file.values():
            attrs = array.attrs
            if not array.name and array.shape == (0,):
                self._attrs = attrs
                continue
            dtype = _saved_type(array, attrs.pop(DTYPE, None))
            lossy |= _say_error(array, attrs)
            dims = array.dims or tuple(f"{array.name or 'dim'}_{i}" for i in range(array.ndim))
            encoding = {"preferred_chunks": dict(zip(dims, array.chunks))}
            data = indexing.LazilyIndexedArray(_Lazy(array, dtype))
            self._variables[array.name] = xr.Variable(dims, data, attrs, encoding)
        if lossy and INFO not in self._variables:
            version = ".".join(str(n) for n in _native.format_version)
            info = {"algorithm": "cae", "implementation": f"cae format {version}"}
            self._variables[INFO] = xr.Variable((), np.int8(0), info)

    def get_variables(self) -> dict[str, xr.Variable]:
        return self._variables

    def get_attrs(self) -> dict[str, Any]:
        return self._attrs

    def get_dimensions(self) -> dict[str, int]:
        return {str(d): n for v in self._variables.values() for d, n in v.sizes.items()}

    def get_encoding(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        self._file.close()


def _saved_type(array: Array, name: object) -> np.dtype[Any]:
    if name is None:
        return array.dtype
    if name not in TYPES:
        raise Unsupported(
            f"array {array.name!r} was saved from values of type {name!r}, which this version does not know"
        )
    return np.dtype(str(name))


def _say_error(array: Array, attrs: dict[str, Any]) -> bool:
    """Adds what CF says of lossy compression; whether anything was lost."""
    bound = array.bound
    if bound.max_abs == 0.0:
        return False
    if bound.max_abs is not None:
        attrs["quantization_maximum_absolute_error"] = bound.max_abs
    else:
        attrs["quantization_maximum_relative_error"] = bound.max_pw
    # An earlier quantization keeps its description.
    attrs.setdefault("quantization", INFO)
    return True


def to_cae(
    dataset: xr.Dataset | xr.DataArray,
    path: Any,
    *,
    each: Mapping[str, Mapping[str, Any]] | None = None,
    preset: Preset = "balanced",
    threads: int = 0,
    progress: Progress | None = None,
    **bound: Unpack[BoundArguments],
) -> dict[str, ArrayReport]:
    """Writes a dataset to `path`, its data variables of floats within the bound, everything else bit for bit.

    `each` gives arguments of `cae.Writer.add`, such as another bound, by the name of a variable. Coordinates, and variables that
    attributes like `bounds` or `grid_mapping` refer to, are lossless unless they are named there. Variables of Dask are computed
    block by block, once or a few times each; others are loaded one at a time.
    """
    if isinstance(dataset, xr.DataArray):
        dataset = dataset.to_dataset(name=dataset.name or "array")
    each = each or {}
    for name in set(each) - set(map(str, dataset.variables)):
        raise ArgumentError(f"each names {name!r}, which is no variable of the dataset")
    exact = _referred(dataset)
    variables, attrs = xr.conventions.encode_dataset_coordinates(dataset)
    with Writer(path) as writer:
        if attrs:
            writer.add("", np.zeros(0, np.float32), attrs=_plain_attrs(attrs), lossless=True)
        reports = {}
        for name, variable in variables.items():
            if not isinstance(name, str) or not name:
                raise ArgumentError(f"a variable is named {name!r}; a text that is not empty is needed")
            if name == INFO and variable.attrs.get("algorithm") == "cae":
                continue
            options: dict[str, Any] = {"preset": preset, "threads": threads, **each.get(name, {})}
            lossy = name in dataset.data_vars and name not in exact and variable.dtype.kind == "f"
            if not _has_bound(options):
                options |= bound if lossy else {"lossless": True}
            source, dims, own = _encoded(name, variable)
            if own.get(DTYPE) is not None and chosen(_bound_of(options))[0] != "lossless":
                raise ArgumentError(f"variable {name!r} holds {own[DTYPE]}: only floats can have a bound")
            fill = own.get("_FillValue")
            if fill is not None and DTYPE not in own:
                options.setdefault("fill", fill)
            reports[name] = writer.add(name, source, dims=dims, attrs=own, progress=progress, **options)
    return reports


def _bound_of(options: Mapping[str, Any]) -> Any:
    return {k: v for k, v in options.items() if k in BoundArguments.__annotations__}


def _has_bound(options: Mapping[str, Any]) -> bool:
    return any(v is not None and v is not False for v in _bound_of(options).values())


def _referred(dataset: xr.Dataset) -> set[str]:
    """Names that occur in attributes which point at variables."""
    texts = [v.attrs.get(p, v.encoding.get(p, "")) for v in dataset.variables.values() for p in POINTERS]
    return {word for text in texts for word in str(text).replace(":", " ").split()}


def _encoded(name: str, variable: xr.Variable) -> tuple[Any, tuple[str, ...], dict[str, Any]]:
    """Values, dimensions and attributes of a variable as the file holds them."""
    if variable.dtype.kind != "f":
        # Packing is for integers that stand for floats; times and text have a form of their own.
        variable = xr.conventions.encode_cf_variable(variable, name=name)
        if variable.dtype.kind in "OSU":
            variable = EncodedStringCoder(allows_unicode=False).encode(variable, name=name)  # type: ignore[no-untyped-call]
            variable = CharacterArrayCoder().encode(variable, name=name)  # type: ignore[no-untyped-call]
    attrs = _plain_attrs(variable.attrs)
    if attrs.get("quantization") == INFO:
        for key in ("quantization", "quantization_maximum_absolute_error", "quantization_maximum_relative_error"):
            attrs.pop(key, None)
    dims = tuple(str(d) for d in variable.dims)
    chunks = getattr(variable.data, "chunks", None) if variable.chunks else None
    values = _Blocks(variable.data) if chunks else np.asarray(variable.values)
    dtype = values.dtype
    if dtype.kind == "f":
        if dtype.itemsize > 8:
            raise Unsupported(f"variable {name!r} holds {dtype}, which no array of a file holds")
        return (values if dtype.itemsize > 2 else np.asarray(variable.values, np.float32)), dims, attrs
    if dtype == np.dtype("S1"):
        return np.asarray(variable.values).view(np.uint8).astype(np.float32), dims, attrs | {DTYPE: "S1"}
    if dtype.kind not in "iu":
        raise Unsupported(f"variable {name!r} holds {dtype}, which no array of a file holds")
    whole = np.asarray(variable.values)
    if dtype.itemsize == 8 and whole.size and max(abs(int(whole.min())), abs(int(whole.max()))) > 1 << 53:
        raise Unsupported(f"variable {name!r} holds integers beyond 2^53, which no float holds")
    return whole.astype(np.float32 if dtype.itemsize < 4 else np.float64), dims, attrs | {DTYPE: dtype.name}


def _plain_attrs(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes less the NaN that says that NaN is missing, which needs no saying."""
    missing = ("_FillValue", "missing_value")
    return {str(k): v for k, v in attrs.items() if not (k in missing and np.ndim(v) == 0 and v != v)}


class _Blocks:
    """A Dask array read box by box; the blocks of a few layers along the first dimension are kept, as frames come in C order."""

    def __init__(self, data: Any) -> None:
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self._starts = [np.cumsum([0, *sizes]) for sizes in data.chunks]
        # Frames of two layers of frames are at work, which may touch four of blocks.
        self._most = 4 * int(np.prod(data.numblocks[1:], dtype=np.int64))
        self._kept: OrderedDict[tuple[int, ...], np.ndarray[Any, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        out = np.empty([k.stop - k.start for k in key], self.dtype)
        spans = [
            range(
                int(np.searchsorted(s, k.start, "right")) - 1, int(np.searchsorted(s, max(k.stop, k.start + 1), "left"))
            )
            for s, k in zip(self._starts, key)
        ]
        for index in product(*spans):
            block = self._block(index)
            origin = [int(s[i]) for s, i in zip(self._starts, index)]
            low = [max(k.start, o) for k, o in zip(key, origin)]
            high = [min(k.stop, o + n) for k, o, n in zip(key, origin, block.shape)]
            to = tuple(slice(a - k.start, b - k.start) for a, b, k in zip(low, high, key))
            out[to] = block[tuple(slice(a - o, b - o) for a, b, o in zip(low, high, origin))]
        return out

    def _block(self, index: tuple[int, ...]) -> np.ndarray[Any, Any]:
        with self._lock:
            if index not in self._kept:
                self._kept[index] = np.asarray(self.data.blocks[index])
            self._kept.move_to_end(index)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return self._kept[index]


__all__ = ["CaeBackend", "to_cae"]

"""Writing files."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self, TypeAlias, Unpack

import numpy as np

from . import _native, models
from ._bounds import Bound, BoundArguments, Preset, chosen
from ._errors import ArgumentError
from ._file import Array, File, Path, _bound

Progress: TypeAlias = Callable[[int, int], object]
FrameShape: TypeAlias = Sequence[int | None]
Guard: TypeAlias = Literal["refuse", "fall-back"]
# An encoder, which a network in the loop has none of, and a decoder, as bytes or paths of ONNX files.
ModelPair: TypeAlias = tuple[models.Source | None, models.Source]


class ArrayReport(NamedTuple):
    """What became of one array."""

    input_bytes: int
    """Bytes of the values."""
    stored_bytes: int
    """Bytes of the frames."""
    bound: Bound
    """The bound as it was asked for and as it holds at each point."""
    max_error: float
    """Largest difference from the original."""
    max_error_over_bound: float
    """Largest difference as a multiple of the bound at its point; at most 1."""
    rmse: float
    """Root of the mean squared difference."""
    psnr: float
    """Peak signal-to-noise ratio in dB."""
    chosen: dict[str, int]
    """Number of frames for each way of coding."""
    guard: float | None
    """The greatest distance of predictions that a frame allows engines other than this one; none where all decode alike."""
    fell_back: int
    """Frames that were given a model and are coded without."""

    @property
    def ratio(self) -> float:
        """Input bytes over stored bytes."""
        return self.input_bytes / self.stored_bytes if self.stored_bytes else math.inf


class Writer:
    """Writes a file array by array; as a context manager it commits unless the block raised.

    Nothing is at `path` before `commit`. Without a path the file is written to memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._native = _native.Writer.in_memory() if path is None else _native.Writer.create(os.fspath(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.commit()
        else:
            self.abandon()

    def add_model(self, encoder: models.Source | None, decoder: models.Source, *, embed: bool = True) -> int:
        """Adds an autoencoder as bytes or paths of ONNX files, before any array; its number.

        With `embed=False` only the digest is stored, and readers must be given the file. The encoder is never stored.
        """
        return self._native.add_model(models.load(decoder, encoder), embed)

    def add(
        self,
        name: str,
        values: Any,
        *,
        preset: Preset = "balanced",
        fill: float | None = None,
        dims: Sequence[str] = (),
        attrs: Mapping[str, Any] | None = None,
        model: int | None = None,
        guard: Guard = "refuse",
        frame_shape: FrameShape | None = None,
        threads: int = 0,
        progress: Progress | None = None,
        **bound: Unpack[BoundArguments],
    ) -> ArrayReport:
        """Codes an array: one in memory, or anything with `shape`, `dtype` and slices, which is read box by box.

        Such a source is read more than once, each time the box of a frame; `frame_shape` fits frames to its own chunks.
        """
        kind, value = chosen(bound)
        source, shape, dtype = given(values, fill)
        bounds = None
        if kind == "by_point":
            bounds, bounds_shape, _ = given(value, None, np.dtype(np.float64))
            if bounds_shape != shape:
                raise ArgumentError(f"bounds of shape {bounds_shape} for values of shape {shape}")
        asked = {
            "dtype": dtype.name,
            "shape": list(shape),
            "kind": kind,
            "value": None if bounds is not None else value,
            "preset": preset,
            "fill": None if fill is None else float(fill),
            "dims": [str(d) for d in dims],
            "attributes": attributes(attrs or {}),
            "frame_shape": _frames(frame_shape, shape),
            "model": model,
            "guard": guard,
            "threads": threads,
        }
        r = self._native.add(name, source, asked, bounds, progress)
        return ArrayReport(
            r.input_bytes,
            r.stored_bytes,
            _bound(r.bound),
            r.max_error,
            r.max_error_over_bound,
            r.rmse,
            r.psnr,
            dict(r.chosen),
            r.guard,
            r.fell_back,
        )

    def copy(self, array: Array, name: str | None = None) -> None:
        """Adds an array of an open file as it is stored there, under its own name or another: nothing is coded again.

        A model that it needs comes with it, before any array without one; else `copy_models` brings it in time.
        """
        if array._info.model is not None:
            self._native.copy_model(array._file._native, array._info.model)
        self._native.copy_array(array.name if name is None else name, array._file._native, array._index)

    def copy_models(self, file: File) -> None:
        """Adds the models that an open file names, before any array, for arrays that are copied from there."""
        for index in range(len(file.models)):
            self._native.copy_model(file._native, index)

    def commit(self) -> int:
        """Completes the file, reads it back and gives it its name; its length in bytes."""
        return self._native.finish()[0]

    def getvalue(self) -> bytes:
        """Completes a file in memory; its bytes."""
        data = self._native.finish()[1]
        if data is None:
            raise ArgumentError("the file was written to a path")
        return data

    def abandon(self) -> None:
        """Throws away what was written."""
        self._native.abandon()


def save(
    path: Path,
    arrays: Mapping[str, Any],
    *,
    preset: Preset = "balanced",
    fill: float | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    attrs: Mapping[str, Mapping[str, Any]] | None = None,
    model: ModelPair | None = None,
    embed_model: bool = True,
    guard: Guard = "refuse",
    frame_shape: FrameShape | None = None,
    threads: int = 0,
    progress: Progress | None = None,
    **bound: Unpack[BoundArguments],
) -> dict[str, ArrayReport]:
    """Writes arrays at one bound to `path`, where the file appears when it is complete and was read back.

    `dims` and `attrs` go by the name of the array. `model` is an encoder and a decoder, as bytes or paths of ONNX files; `guard` says
    what becomes of frames where a float model is of no use under the bound: `ArgumentError`, or no model.
    `progress` is called now and then with the number of values done and in all; an exception in it ends the write, as does
    Ctrl-C after the frames at work.
    """
    with Writer(path) as writer:
        return _add_all(
            writer,
            arrays,
            dims or {},
            attrs or {},
            model,
            embed_model,
            progress,
            {"preset": preset, "fill": fill, "guard": guard, "frame_shape": frame_shape, "threads": threads, **bound},
        )


def compress(
    arrays: Any,
    *,
    preset: Preset = "balanced",
    fill: float | None = None,
    model: ModelPair | None = None,
    guard: Guard = "refuse",
    frame_shape: FrameShape | None = None,
    threads: int = 0,
    progress: Progress | None = None,
    **bound: Unpack[BoundArguments],
) -> bytes:
    """A whole file in memory that holds an array, named `array`, or a mapping of names to arrays."""
    named = arrays if isinstance(arrays, Mapping) else {"array": arrays}
    writer = Writer()
    options = {"preset": preset, "fill": fill, "guard": guard, "frame_shape": frame_shape, "threads": threads, **bound}
    _add_all(writer, named, {}, {}, model, True, progress, options)
    return writer.getvalue()


def _add_all(
    writer: Writer,
    arrays: Mapping[str, Any],
    dims: Mapping[str, Sequence[str]],
    attrs: Mapping[str, Mapping[str, Any]],
    model: ModelPair | None,
    embed_model: bool,
    progress: Progress | None,
    options: dict[str, Any],
) -> dict[str, ArrayReport]:
    for name in {*dims, *attrs} - set(arrays):
        raise ArgumentError(f"dims or attrs name {name!r}, which is none of the arrays")
    index = None
    if model is not None:
        if len(model) != 2:
            raise ArgumentError("model is an encoder and a decoder")
        index = writer.add_model(*model, embed=embed_model)
    total = sum(math.prod(np.shape(values)) for values in arrays.values()) if progress else 0
    before = 0
    reports = {}
    for name, values in arrays.items():
        told: Progress | None = None
        if progress is not None:

            def told(done: int, _: int, before: int = before) -> object:
                return progress(before + done, total)

        reports[name] = writer.add(
            name,
            values,
            dims=dims.get(name, ()),
            attrs=attrs.get(name),
            model=index,
            progress=told,
            **options,
        )
        if progress is not None:
            before += math.prod(np.shape(values))
    return reports


def given(
    values: Any, fill: float | None, dtype: np.dtype[Any] | None = None
) -> tuple[Any, tuple[int, ...], np.dtype[Any]]:
    """What the compiled part takes for an array: C-contiguous memory or a function of a box; its shape and type."""
    if isinstance(values, np.ma.MaskedArray):
        values = values.filled(np.nan if fill is None else fill)
    sliceable = all(hasattr(values, a) for a in ("shape", "dtype", "__getitem__"))
    if not sliceable or isinstance(values, np.generic):
        values = np.asarray(values)
    try:
        found = np.dtype(values.dtype)
    except TypeError:
        raise ArgumentError(f"values of type {values.dtype} cannot be stored: float32 or float64") from None
    if dtype is None:
        if found.newbyteorder("=") not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ArgumentError(f"values of type {found} cannot be stored: float32 or float64")
        dtype = found.newbyteorder("=")
    shape = tuple(int(n) for n in values.shape)
    if isinstance(values, np.ndarray) and values.flags.c_contiguous and found == dtype and values.flags.aligned:
        # As an array of the plain dtype: one of "<f4" is the same, and tells its buffer's users so in other words.
        return np.atleast_1d(values).view(np.ndarray).view(dtype), shape, dtype

    def box(start: list[int], extent: list[int]) -> np.ndarray[Any, Any]:
        part = values[tuple(slice(s, s + e) for s, e in zip(start, extent))]
        if isinstance(part, np.ma.MaskedArray):
            part = part.filled(np.nan if fill is None else fill)
        return np.require(np.atleast_1d(np.asarray(part)), dtype, ["C", "A"]).view(dtype)

    return box, shape, dtype


def attributes(attrs: Mapping[str, Any]) -> str:
    """Attributes as the text of a JSON object, or no text for none."""
    if not attrs:
        return ""
    try:
        return json.dumps({str(k): v for k, v in attrs.items()}, default=_plain, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as e:
        raise ArgumentError(f"attributes: {e}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r} has no place in JSON")


def _frames(frame_shape: FrameShape | None, shape: tuple[int, ...]) -> list[int] | None:
    if frame_shape is None:
        return None
    if len(frame_shape) != len(shape):
        raise ArgumentError(f"frame shape {tuple(frame_shape)} for an array of shape {shape}")
    frames = [n if f is None or f == -1 else int(f) for f, n in zip(frame_shape, shape)]
    if any(f < 0 for f in frames):
        raise ArgumentError(f"frame shape {tuple(frame_shape)}: extents are positive")
    return [min(f, n) for f, n in zip(frames, shape)]

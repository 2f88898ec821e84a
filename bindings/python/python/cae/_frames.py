"""Lone frames (SPEC 6.7): for formats that keep type, shape and bound themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Unpack

import numpy as np

from . import _native, models
from ._bounds import Bound, BoundArguments, Preset, chosen
from ._errors import ArgumentError
from ._file import Limits, _bound, plain_limits
from ._write import given


class Frame(NamedTuple):
    """A coded frame."""

    data: bytes
    """The frame; neither type, shape nor bound are in it."""
    bound: Bound
    """The bound as it was asked for and as it holds at each point."""
    max_error_over_bound: float
    """Largest error as a multiple of the bound at its point; at most 1."""
    needs_model: bool
    """Whether decoding needs the model."""


def code_frame(
    values: Any,
    *,
    preset: Preset = "balanced",
    fill: float | None = None,
    model: _native.Model | str | None = None,
    threads: int = 1,
    **bound: Unpack[BoundArguments],
) -> Frame:
    """Codes an array as one frame, and says what became of it. A range, ratio or mean is that of the frame.

    `model` is one that `cae.models.load` gave, or the digest of one that `cae.models` knows.
    """
    kind, value = chosen(bound)
    if kind == "by_point":
        raise ArgumentError("a lone frame takes one bound for all points")
    source, shape, dtype = given(values, fill)
    if callable(source):
        source = source([0] * len(shape), list(shape))
    model = models.find(model) if isinstance(model, str) else model
    data, parts, over, needs = _native.compress_frame(
        source, dtype.name, shape, kind, value, preset, None if fill is None else float(fill), model, threads
    )
    return Frame(data, _bound(parts), over, needs)


def compress_frame(
    values: Any,
    *,
    preset: Preset = "balanced",
    fill: float | None = None,
    model: _native.Model | str | None = None,
    threads: int = 1,
    **bound: Unpack[BoundArguments],
) -> bytes:
    """`code_frame`, only the bytes."""
    return code_frame(values, preset=preset, fill=fill, model=model, threads=threads, **bound).data


def decompress_frame(
    data: Any,
    shape: Sequence[int],
    dtype: Any,
    *,
    model: _native.Model | str | None = None,
    limits: Limits | Literal["none"] | None = None,
) -> np.ndarray[Any, Any]:
    """The values of a frame, whose shape and type (`float32` or `float64`) must be known."""
    found = np.dtype(dtype)
    if found not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ArgumentError(f"a frame holds float32 or float64 values, not {found}")
    extents = [int(n) for n in shape]
    if any(n < 0 for n in extents):
        raise ArgumentError(f"shape {tuple(extents)}: extents are not negative")
    model = models.find(model) if isinstance(model, str) else model
    return _native.decompress_frame(data, found.name, extents, model, plain_limits(limits))

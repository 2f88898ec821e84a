"""What a codec of another container's chunks is configured with, and its work: one chunk is one frame (SPEC 6.7)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from . import models
from ._bounds import NAMES, BoundArguments, BoundKind, Preset, chosen, number
from ._errors import ArgumentError
from ._frames import code_frame, decompress_frame
from ._native import Model

# Bounds that hold value by value. A range is that of the whole array, which no chunk knows; and as chunks at the edge of an
# array are padded, the mean of a chunk is none of the array's.
KINDS = ("lossless", "abs", "pw")


@dataclass(frozen=True)
class Settings:
    """A bound that means the same for each chunk, and how to code."""

    kind: BoundKind
    value: float | None
    preset: Preset
    fill: float | None
    model: str | None

    @classmethod
    def of(
        cls,
        bound: Mapping[str, Any] | None,
        preset: str,
        fill: float | None,
        model: str | None,
        arguments: BoundArguments,
    ) -> Settings:
        """From the keyword arguments of a codec, or the JSON that `to_json` gave."""
        if bound is None:
            kind, value = chosen(arguments)
        elif arguments:
            raise ArgumentError("the bound is given twice")
        else:
            kind, value = _named(bound)
        if kind == "by_point":
            raise ArgumentError("a codec takes one bound for all points")
        if kind not in KINDS:
            raise ArgumentError(
                f"the bound {kind} is one of a whole array, of which a codec sees chunks: give abs, pw or lossless=True; "
                "cae.zarr.codec_for(values, rel=...) turns rel into abs"
            )
        if preset not in ("fast", "balanced", "small"):
            raise ArgumentError(f"no preset is named {preset!r}: fast, balanced or small")
        if fill is not None:
            fill = float(fill)
            # NaN and infinities come back bit for bit anyway.
            fill = fill if math.isfinite(fill) else None
        if model is not None and (not isinstance(model, str) or len(model) != 64):
            raise ArgumentError("model is the digest of a model, 64 hexadecimal digits, as cae.models.add gives it")
        return cls(kind, value, cast(Preset, preset), fill, model)

    def to_json(self) -> dict[str, Any]:
        """The configuration. A number stands for the f64 nearest to it, which Python's and any exact JSON reader give back."""
        bound: dict[str, Any] = {"kind": self.kind}
        if self.value is not None:
            bound["value"] = self.value
        json: dict[str, Any] = {"bound": bound, "preset": self.preset}
        if self.fill is not None:
            json["fill"] = self.fill
        if self.model is not None:
            json["model"] = self.model
        return json

    def check(self, dtype: np.dtype[Any], shape: Sequence[int]) -> None:
        """Fails for chunks that no frame can hold."""
        if dtype.newbyteorder("=") not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ArgumentError(f"the codec cae stores float32 and float64 values, not {dtype}")
        if math.prod(shape) > 1 << 24:
            raise ArgumentError(f"chunks of {math.prod(shape)} values; readers take at most 2^24")

    def encode(self, values: np.ndarray[Any, Any], fill_value: Any = None) -> bytes:
        """A chunk's frame. Without a fill value of its own the codec takes that of the array, unless it is 0."""
        fill = self.fill
        if fill is None and fill_value is not None:
            given = float(fill_value)
            fill = given if math.isfinite(given) and given != 0.0 else None
        bound: dict[str, Any] = {self.kind: True if self.value is None else self.value}
        frame = code_frame(values, preset=self.preset, fill=fill, model=self.find_model(), **bound)
        return frame.data

    def decode(self, data: Any, shape: Sequence[int], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """The values of a chunk."""
        return decompress_frame(data, shape, dtype.newbyteorder("="), model=self.find_model())

    def find_model(self) -> Model | None:
        """The model, from wherever `cae.models` finds it."""
        return None if self.model is None else models.find(self.model)

    def carried_model(self) -> tuple[bytes, bytes | None] | None:
        """The model's bytes if this process knows them: they travel with the codec to other processes."""
        known = None if self.model is None else models.known(self.model)
        return None if known is None else (known.decoder, known.encoder)


def _named(bound: Mapping[str, Any]) -> tuple[BoundKind, float | None]:
    """Kind and value of a bound in JSON."""
    if not isinstance(bound, Mapping) or not set(bound) <= {"kind", "value"}:
        raise ArgumentError(f'bound is {bound!r}, such as {{"kind": "abs", "value": 0.01}} is needed')
    kind = bound.get("kind")
    if kind == "lossless" and bound.get("value") is None:
        return "lossless", None
    if kind in NAMES:
        return cast(BoundKind, kind), number(bound.get("value"), f"the bound {kind}")
    raise ArgumentError(f"no bound is named {kind!r}")

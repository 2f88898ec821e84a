"""A codec for numcodecs: Zarr v2 stores and what is made of references to chunks (kerchunk). Each chunk is one frame (SPEC 6.7).

A frame does not say its shape and type, and Zarr v2 does not tell a codec those of a chunk: they are part of its configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
from numcodecs.abc import Codec  # type: ignore[import-untyped]
from numcodecs.compat import ensure_contiguous_ndarray, ensure_ndarray  # type: ignore[import-untyped]

from . import models
from ._bounds import BoundArguments, Preset
from ._codec import Settings
from ._errors import ArgumentError


class Cae(Codec):  # type: ignore[misc]
    """The codec `cae` for chunks of one shape and type: the compressor of a Zarr v2 array.

    One of `abs`, `pw` or `lossless=True` bounds the error; `fill` comes back bit for bit; `model` is the
    digest of an autoencoder that `cae.models` knows.
    """

    codec_id = "cae"

    def __init__(
        self,
        shape: Sequence[int],
        dtype: Any,
        *,
        bound: Mapping[str, Any] | None = None,
        preset: Preset = "balanced",
        fill: float | None = None,
        model: str | None = None,
        **arguments: Unpack[BoundArguments],
    ) -> None:
        self._settings = Settings.of(bound, preset, fill, model, arguments)
        self._shape, self._dtype = tuple(int(n) for n in shape), np.dtype(dtype)
        self._settings.check(self._dtype, self._shape)

    def encode(self, buf: Any) -> bytes:
        """The frame of a chunk: values of the configured type and number."""
        values = ensure_ndarray(buf)
        if values.dtype != self._dtype:
            values = ensure_contiguous_ndarray(values).view(self._dtype)
        if values.size != np.prod(self._shape, dtype=np.int64):
            raise ArgumentError(f"a chunk of shape {values.shape}, {self._shape} is configured")
        # Zarr v2 with order F hands over chunks whose memory is the transpose.
        if not values.flags.c_contiguous and values.flags.f_contiguous and values.ndim > 1:
            raise ArgumentError('chunks in order "F": the codec cae takes order "C"')
        return self._settings.encode(values.reshape(self._shape))

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The values of a frame, in `out` if it is given."""
        data = ensure_contiguous_ndarray(buf).view(np.uint8)
        values = self._settings.decode(data, self._shape, self._dtype).astype(self._dtype, copy=False)
        if out is None:
            return values
        target = ensure_contiguous_ndarray(out).view(self._dtype)
        if target.size != values.size:
            raise ArgumentError(f"room for {target.size} values, the chunk has {values.size}")
        target[...] = values.reshape(-1)
        return out

    def get_config(self) -> dict[str, Any]:
        """For the array's metadata."""
        return {"id": self.codec_id, "shape": list(self._shape), "dtype": self._dtype.str, **self._settings.to_json()}

    def __repr__(self) -> str:
        config = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items() if k != "id")
        return f"Cae({config})"

    def __reduce__(self) -> Any:
        config = {k: v for k, v in self.get_config().items() if k != "id"}
        return _restore, (config, self._settings.carried_model())


def _restore(config: dict[str, Any], model: tuple[bytes, bytes | None] | None) -> Cae:
    if model is not None:
        models.add(*model)
    return Cae(**config)

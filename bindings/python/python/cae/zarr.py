"""A codec for zarr-python 3: each chunk is one frame (SPEC 6.7).

`CaeCodec` is the serializer of an array (its array-to-bytes codec), with or without sharding; it is registered as `cae`.
Models that chunks need are stored once, in the group `cae-models` of the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np
import zarr
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.common import parse_named_configuration

from . import models
from ._bounds import BoundArguments, Preset, chosen
from ._codec import Settings
from ._errors import ArgumentError, FormatError

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

MODELS = "cae-models"


@dataclass(frozen=True, init=False)
class CaeCodec(ArrayBytesCodec):
    """The array-to-bytes codec `cae`.

    One of `abs`, `pw` or `lossless=True` bounds the error. `fill` comes back bit for bit; without it, the array's fill value
    does, unless that is 0. `model` is the digest of an autoencoder that `cae.models` knows.
    """

    settings: Settings
    is_fixed_size = False

    def __init__(
        self,
        *,
        bound: Mapping[str, Any] | None = None,
        preset: Preset = "balanced",
        fill: float | None = None,
        model: str | None = None,
        **arguments: Unpack[BoundArguments],
    ) -> None:
        object.__setattr__(self, "settings", Settings.of(bound, preset, fill, model, arguments))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """From the array's metadata."""
        configuration: dict[str, Any] = dict(parse_named_configuration(data, "cae")[1])
        if "bound" not in configuration:
            raise ArgumentError("the configuration of the codec cae has no bound")
        unknown = set(configuration) - {"bound", "preset", "fill", "model"}
        if unknown:
            raise ArgumentError(f"the configuration of the codec cae has {sorted(unknown)[0]!r}, which is unknown")
        return cls(**configuration)

    def to_dict(self) -> dict[str, Any]:
        """For the array's metadata."""
        return {"name": "cae", "configuration": self.settings.to_json()}

    def __reduce__(self) -> Any:
        return _restore, (self.settings.to_json(), self.settings.carried_model())

    def validate(self, *, shape: Any, dtype: Any, chunk_grid: Any) -> None:
        """Refuses arrays whose chunks no frame can hold."""
        self.settings.check(dtype.to_native_dtype(), getattr(chunk_grid, "chunk_shape", ()))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Frames have no fixed size."""
        raise NotImplementedError

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        values = np.asarray(chunk_data.as_numpy_array())
        data = await asyncio.to_thread(self.settings.encode, values, chunk_spec.fill_value)
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        dtype = chunk_spec.dtype.to_native_dtype()
        values = await asyncio.to_thread(self.settings.decode, chunk_data.as_numpy_array(), chunk_spec.shape, dtype)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(values)


def _restore(configuration: dict[str, Any], model: tuple[bytes, bytes | None] | None) -> CaeCodec:
    if model is not None:
        models.add(*model)
    return CaeCodec(**configuration)


def codec_for(
    values: Any,
    *,
    preset: Preset = "balanced",
    fill: float | None = None,
    model: str | None = None,
    **bound: Unpack[BoundArguments],
) -> CaeCodec:
    """A codec for the chunks of `values`: `rel` becomes the absolute bound that it means for the whole array.

    `values` is an array of NumPy or Dask; nothing but a relative bound reads it.
    """
    kind, value = chosen(bound)
    if kind == "rel":
        greatest = value * value_range(values, fill)
        # Values without a range are kept as they are.
        bound = {"abs": greatest} if greatest > 0.0 else {"lossless": True}
    return CaeCodec(preset=preset, fill=fill, model=model, **bound)


def value_range(values: Any, fill: float | None = None) -> float:
    """max - min of the values that are finite and not `fill`; 0 if there are none."""
    ordinary = np.isfinite(values)
    if fill is not None:
        ordinary = ordinary & (values != np.asarray(fill, values.dtype))
    low, high = np.where(ordinary, values, np.inf).min(), np.where(ordinary, values, -np.inf).max()
    low, high = float(low), float(high)
    # Half the difference keeps the widest range finite.
    return (high / 2 - low / 2) * 2 if low <= high else 0.0


def store_model(root: Any, decoder: models.Source, encoder: models.Source | None = None) -> str:
    """Stores a decoder in the group `cae-models` of `root`, a group or a store, once; its digest.

    The encoder is not stored. Both are known to this process afterwards, and travel with its codecs to others.
    """
    data = models.read(decoder)
    digest = models.add(data, encoder)
    group = root if isinstance(root, zarr.Group) else zarr.open_group(root, mode="a")
    kept = group.require_group(MODELS)
    if digest not in kept:
        values = np.frombuffer(data, np.uint8)
        options: dict[str, Any] = {"compressors": None, "chunks": values.shape, "fill_value": 0}
        array = kept.create_array(digest, shape=values.shape, dtype=values.dtype, **options)
        array[:] = values
    return digest


def use_models(root: Any) -> None:
    """Looks for models in the group `cae-models` of `root`, a group or a store, too."""
    group = root if isinstance(root, zarr.Group) else zarr.open_group(root, mode="r")
    path = f"{group.path}/{MODELS}".lstrip("/")

    def finder(digest: str) -> bytes | None:
        try:
            array = zarr.open_array(group.store, path=f"{path}/{digest}", mode="r")
        except (FileNotFoundError, KeyError):
            return None
        if array.ndim != 1 or array.dtype != np.uint8 or array.nbytes > 256 << 20:
            raise FormatError(f"{path}/{digest} is no model: a vector of at most 256 MiB is needed")
        return bytes(np.asarray(array[:]))

    models.add_finder(finder)


__all__ = ["CaeCodec", "codec_for", "store_model", "use_models", "value_range"]

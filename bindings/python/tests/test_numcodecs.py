"""The numcodecs codec: Zarr v2 stores, references to chunks."""

from __future__ import annotations

import json
import pickle

import cae
import fsspec
import numcodecs
import numpy as np
import pytest
import zarr
from cae.numcodecs import Cae
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from zarr.storage import FsspecStore


def test_found_by_its_name():
    config = {
        "id": "cae",
        "shape": [2, 3],
        "dtype": "<f4",
        "bound": {"kind": "abs", "value": 0.1},
        "preset": "balanced",
    }
    codec = numcodecs.get_codec(dict(config))
    assert isinstance(codec, Cae) and codec.get_config() == config
    assert codec == pickle.loads(pickle.dumps(codec)) == Cae((2, 3), "f4", abs=0.1) and "abs" in repr(codec)


def test_encode_and_decode(field, relief):
    for values in [field, relief]:
        codec = Cae(values.shape, values.dtype, abs=0.05, preset="fast")
        data = codec.encode(values)
        assert data == cae.compress_frame(values, abs=0.05, preset="fast")
        assert data == codec.encode(values.tobytes()) == codec.encode(values.reshape(-1))
        got = codec.decode(data)
        assert got.shape == values.shape and np.all(np.abs(got.astype(float) - values) <= 0.05)
        out = np.empty_like(values)
        assert codec.decode(memoryview(data), out=out) is out and np.array_equal(out, got)
        raw = bytearray(values.nbytes)
        codec.decode(data, out=raw)
        assert np.array_equal(np.frombuffer(raw, values.dtype).reshape(values.shape), got)
    swapped = Cae(relief.shape, ">f8", lossless=True)
    assert np.array_equal(swapped.decode(swapped.encode(relief.astype(">f8"))), relief)


def test_a_zarr_v2_store(tmp_path, field):
    codec = Cae((10, 37, 72), "<f4", abs=0.05)
    array = zarr.create_array(
        str(tmp_path / "a.zarr"), shape=field.shape, dtype="<f4", chunks=(10, 37, 72), zarr_format=2, compressors=codec
    )
    array[...] = field
    got = zarr.open_array(str(tmp_path / "a.zarr"), mode="r")[...]
    assert np.all(np.abs(got.astype(float) - field) <= 0.05)
    assert json.loads((tmp_path / "a.zarr" / ".zarray").read_text())["compressor"] == codec.get_config()
    assert (tmp_path / "a.zarr" / "1.0.0").read_bytes() == cae.compress_frame(field[10:], abs=0.05)


def test_references_into_a_file(tmp_path, field):
    """What kerchunk makes: a Zarr v2 store whose chunks are byte ranges of other files; here the frames of a `.cae` file."""
    path = tmp_path / "a.cae"
    cae.save(path, {"u": field}, abs=0.05, frame_shape=(5, 37, 72))
    codec = Cae((5, 37, 72), "<f4", abs=0.05)
    zarray = {
        "zarr_format": 2,
        "shape": [20, 37, 72],
        "chunks": [5, 37, 72],
        "dtype": "<f4",
        "compressor": codec.get_config(),
        "fill_value": 0,
        "filters": None,
        "order": "C",
    }
    refs = {".zgroup": '{"zarr_format": 2}', "u/.zarray": json.dumps(zarray)}
    with cae.open(path) as file:
        expected = np.asarray(file["u"])
    data = path.read_bytes()
    at = 16
    for chunk in range(4):
        length = frame_length(data, at, (5, 37, 72))
        refs[f"u/{chunk}.0.0"] = [str(path), at, length]
        at += length
    (tmp_path / "refs.json").write_text(json.dumps({"version": 1, "refs": refs}))
    # A file system of local files is none that Zarr can await, hence the wrapper.
    local = AsyncFileSystemWrapper(fsspec.filesystem("file"), asynchronous=True)
    references = fsspec.filesystem("reference", fo=str(tmp_path / "refs.json"), fs=local, asynchronous=True)
    group = zarr.open_group(FsspecStore(references, read_only=True), mode="r", zarr_format=2)
    np.testing.assert_array_equal(group["u"][...], expected)


def frame_length(data: bytes, at: int, shape: tuple[int, ...]) -> int:
    """The length of the frame at `at`: the only one at which it decodes."""
    for end in range(at + 16, len(data)):
        try:
            cae.decompress_frame(data[at:end], shape, "float32")
        except cae.FormatError:
            continue
        return end - at
    raise AssertionError("no frame")


def test_wrong_arguments(field):
    for shape, dtype, bound in [
        ((3,), "i4", {"abs": 1.0}),
        ((3,), "f4", {}),
        ((3,), "f4", {"rel": 0.1}),
        ((1 << 25,), "f4", {"abs": 1.0}),
    ]:
        with pytest.raises(cae.ArgumentError):
            Cae(shape, dtype, **bound)
    codec = Cae(field.shape, field.dtype, abs=0.1, preset="fast")
    for wrong in [field[1:], np.asfortranarray(field)]:
        with pytest.raises(cae.ArgumentError):
            codec.encode(wrong)
    data = codec.encode(field)
    with pytest.raises(cae.ArgumentError):
        codec.decode(data, out=np.empty(3, "f4"))
    for bad in [b"", data[:-1], data + b"x"]:
        with pytest.raises(cae.FormatError):
            codec.decode(bad)

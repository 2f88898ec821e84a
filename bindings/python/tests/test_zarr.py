"""The Zarr v3 codec."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys

import cae
import numpy as np
import pytest
import zarr
from cae.zarr import CaeCodec, codec_for, store_model, use_models, value_range


def create(store, values, codec, chunks, **options):
    array = zarr.create_array(
        store, shape=values.shape, dtype=values.dtype, chunks=chunks, serializer=codec, compressors=None, **options
    )
    array[...] = values
    return array


def test_chunks_are_frames(tmp_path, field):
    codec = CaeCodec(abs=0.05)
    create(str(tmp_path / "a.zarr"), field, codec, (10, 37, 72))
    got = zarr.open_array(str(tmp_path / "a.zarr"), mode="r")
    assert np.all(np.abs(got[...].astype(np.float64) - field) <= 0.05)
    np.testing.assert_array_equal(got[3, 5:9, ::7], got[...][3, 5:9, ::7])
    frame = (tmp_path / "a.zarr" / "c" / "1" / "0" / "0").read_bytes()
    assert frame == cae.compress_frame(field[10:], abs=0.05)
    assert np.array_equal(cae.decompress_frame(frame, (10, 37, 72), "float32"), got[10:])


def test_the_configuration_keeps_the_exact_bound(tmp_path):
    value = float(np.nextafter(0.1, 1.0)) / 3.0
    codec = CaeCodec(abs=value, preset="fast", fill=-9999.0)
    create(str(tmp_path / "a.zarr"), np.ones((4, 4)), codec, (4, 4))
    metadata = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())
    [stored] = metadata["codecs"]
    assert stored == {
        "name": "cae",
        "configuration": {"bound": {"kind": "abs", "value": value}, "preset": "fast", "fill": -9999.0},
    }
    assert zarr.open_array(str(tmp_path / "a.zarr")).metadata.codecs[0] == codec == pickle.loads(pickle.dumps(codec))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bound", [{"abs": 0.05}, {"pw": 0.01}, {"lossless": True}], ids=repr)
def test_every_bound_and_type(field, dtype, bound):
    values = field[:4].astype(dtype)
    array = create(zarr.storage.MemoryStore(), values, CaeCodec(preset="fast", **bound), (4, 20, 40))
    got = array[...]
    error = np.abs(got.astype(np.float64) - values)
    if "abs" in bound:
        assert error.max() <= 0.05
    elif "pw" in bound:
        assert np.all(error <= 0.01 * np.abs(values))
    else:
        assert np.array_equal(got, values)


def test_sharding(tmp_path, field):
    values = np.concatenate([field] * 2)
    array = create(str(tmp_path / "s.zarr"), values, CaeCodec(abs=0.05), (5, 37, 72), shards=(20, 37, 72))
    assert len(list((tmp_path / "s.zarr" / "c").rglob("0"))) >= 2
    plain = create(zarr.storage.MemoryStore(), values, CaeCodec(abs=0.05), (5, 37, 72))
    np.testing.assert_array_equal(array[...], plain[...])
    np.testing.assert_array_equal(array[33, 4], plain[33, 4])
    array[7] = 1.0
    assert np.all(np.abs(array[7] - 1.0) <= 0.05)
    # An inner chunk is a frame of its own.
    shard = (tmp_path / "s.zarr" / "c" / "1" / "0" / "0").read_bytes()
    assert cae.compress_frame(values[20:25], abs=0.05) in shard


def test_fill_values(field):
    holes = field.copy()
    holes[:, 3:9, 5:20] = 1e20
    for options in [{"fill_value": 1e20}, {"fill_value": 0.0, "codec": {"fill": 1e20}}]:
        codec = CaeCodec(abs=0.05, **options.pop("codec", {}))
        array = create(zarr.storage.MemoryStore(), holes, codec, (20, 37, 72), **options)
        assert np.array_equal(array[...] == np.float32(1e20), holes == np.float32(1e20))
    nan = np.where(holes > 1e19, np.nan, holes)
    array = create(zarr.storage.MemoryStore(), nan, CaeCodec(abs=0.05), (20, 37, 72), fill_value=np.nan)
    assert np.array_equal(np.isnan(array[...]), np.isnan(nan))
    # Chunks that were never written, or are cut off by the array's edge.
    array = zarr.create_array(
        zarr.storage.MemoryStore(),
        shape=(10, 10),
        dtype="f4",
        chunks=(4, 4),
        fill_value=7.0,
        serializer=CaeCodec(abs=0.1),
    )
    array[8:, 8:] = 1.0
    assert np.all(array[:8] == 7.0) and np.all(np.abs(array[8:, 8:] - 1.0) <= 0.1)


def test_a_relative_bound_becomes_that_of_the_array(field):
    codec = codec_for(field, rel=1e-3)
    assert codec.settings.kind == "abs"
    assert codec.settings.value == 1e-3 * value_range(field) == pytest.approx(1e-3 * np.ptp(field))
    assert cae.code_frame(field, rel=1e-3).bound.max_abs == codec.settings.value
    holes = np.where(field > 5, np.float32(-1e30), field)
    assert value_range(holes, fill=-1e30) == pytest.approx(float(np.ptp(field[field <= 5])))
    assert value_range(np.full(3, np.nan)) == 0.0 and codec_for(np.ones(3), rel=1e-3).settings.kind == "lossless"
    assert codec_for(field, pw=0.1) == CaeCodec(pw=0.1)


def test_a_model_is_stored_once(tmp_path, exact_model):
    encoder, decoder = exact_model
    values = np.linspace(0.011, 0.09, 8192, dtype=np.float32).reshape(2, 4096)
    root = zarr.create_group(str(tmp_path / "m.zarr"))
    digest = store_model(root, decoder, encoder)
    assert store_model(root, decoder) == digest
    for name in ["a", "b"]:
        array = root.create_array(
            name,
            shape=values.shape,
            dtype="f4",
            chunks=(1, 2048),
            serializer=CaeCodec(pw=0.1, model=digest),
            compressors=None,
        )
        array[...] = values
    stored = [p for p in (tmp_path / "m.zarr").rglob("*") if p.is_file() and p.stat().st_size >= len(decoder)]
    assert len(stored) == 1 and stored[0].read_bytes() == decoder
    assert sorted(root) == ["a", "b", "cae-models"]
    # Another process finds it in the store; one that gets the array pickled has it already.
    (tmp_path / "array.pickle").write_bytes(pickle.dumps(root["a"]))
    code = f"""
import cae, cae.zarr, numpy, pickle, zarr
a = zarr.open_group({str(tmp_path / "m.zarr")!r}, mode="r")
try:
    a["a"][...]; print("known")
except cae.Unsupported:
    print("missing")
cae.zarr.use_models(a)
numpy.save({str(tmp_path / "a.npy")!r}, a["a"][...])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "missing"
    code = f"import pickle, numpy; numpy.save({str(tmp_path / 'b.npy')!r}, pickle.load(open({str(tmp_path / 'array.pickle')!r}, 'rb'))[...])"
    subprocess.run([sys.executable, "-c", code], check=True)
    for other in ["a.npy", "b.npy"]:
        np.testing.assert_array_equal(np.load(tmp_path / other), root["a"][...])
    assert np.all(np.abs(root["a"][...] - values) <= 0.1 * values)
    use_models(root)


def test_wrong_configurations(tmp_path):
    for arguments in [
        {},
        {"abs": -1.0},
        {"rel": 1e-3},
        {"psnr": 60.0},
        {"rmse": 1.0},
        {"ratio": 9.0},
        {"abs": 1.0, "pw": 1.0},
        {"abs": np.ones(3)},
        {"abs": 1.0, "preset": "best"},
        {"abs": 1.0, "model": "abc"},
        {"bound": {"kind": "abs"}},
        {"bound": {"kind": "wide", "value": 1}},
        {"bound": 3},
    ]:
        with pytest.raises(cae.ArgumentError):
            CaeCodec(**arguments)
    for configuration in [{}, {"bound": {"kind": "abs", "value": 1.0}, "level": 3}]:
        with pytest.raises(cae.ArgumentError):
            CaeCodec.from_dict({"name": "cae", "configuration": configuration})
    for dtype, chunks in [("i4", (4,)), ("f2", (4,)), ("c8", (4,)), ("f4", (1 << 25,))]:
        with pytest.raises(cae.ArgumentError):
            zarr.create_array(
                zarr.storage.MemoryStore(), shape=(1 << 26,), dtype=dtype, chunks=chunks, serializer=CaeCodec(abs=1.0)
            )
    with pytest.raises(cae.Unsupported):
        create(zarr.storage.MemoryStore(), np.ones(4), CaeCodec(abs=1.0, model="0" * 64), (4,))


def test_damaged_chunks(tmp_path, field):
    array = create(str(tmp_path / "a.zarr"), field, CaeCodec(abs=0.05, preset="fast"), (10, 37, 72))
    chunk = tmp_path / "a.zarr" / "c" / "0" / "0" / "0"
    good = chunk.read_bytes()
    for bad in [b"", good[:-1], good + b"x", good[:50], bytes(len(good)), good[:60] + b"\xff" + good[61:]]:
        chunk.write_bytes(bad)
        with pytest.raises(cae.FormatError):
            array[0]
        assert array[10:].shape == (10, 37, 72)


@pytest.mark.skipif(
    "CAE_ZARRS_COPY" not in os.environ, reason="names the example `copy` of the crate cae-zarrs, which .ci/run builds"
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shards", [None, (20, 37, 72)], ids=["chunks", "shards"])
def test_the_rust_library_reads_and_writes_the_same_frames(tmp_path, field, dtype, shards):
    values = field.astype(dtype)
    values[0, 0, :5] = 1e20
    # A number with no short decimal form: both must keep the exact bound.
    codec = CaeCodec(abs=float(np.nextafter(0.05, 1.0)))
    ours = create(str(tmp_path / "ours.zarr"), values, codec, (5, 37, 72), shards=shards, fill_value=1e20)
    subprocess.run([os.environ["CAE_ZARRS_COPY"], tmp_path / "ours.zarr", tmp_path / "theirs.zarr"], check=True)
    theirs = zarr.open_array(str(tmp_path / "theirs.zarr"), mode="r")
    np.testing.assert_allclose(theirs[...], ours[...], rtol=0, atol=codec.settings.value)
    assert theirs.metadata.codecs[0].to_dict() == ours.metadata.codecs[0].to_dict()
    # Of the same values both make the same bytes.
    again = create(str(tmp_path / "again.zarr"), ours[...], codec, (5, 37, 72), shards=shards, fill_value=1e20)
    for path in sorted((tmp_path / "theirs.zarr" / "c").rglob("*")):
        if path.is_file() and shards is None:
            assert (
                path.read_bytes() == (tmp_path / "again.zarr" / path.relative_to(tmp_path / "theirs.zarr")).read_bytes()
            )
    np.testing.assert_array_equal(theirs[...], again[...])

"""Zarr stores written and read by several processes are those of one."""

from __future__ import annotations

import os
from pathlib import Path

import cae
import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from cae.zarr import CaeCodec, codec_for, store_model
from dask.distributed import Client, LocalCluster


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("workers"))
    with (
        dask.config.set({"distributed.scheduler.worker-saturation": 1.0}),
        LocalCluster(
            n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=folder
        ) as cluster,
        Client(cluster) as client,
    ):
        assert len(set(client.run(os.getpid).values()) - {os.getpid()}) == 3
        yield client


def files(store: Path) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in store.rglob("*") if p.is_file()}


def create(path: Path, values, codec, **options):
    return zarr.create_array(
        str(path),
        shape=values.shape,
        dtype=values.dtype,
        chunks=(2, 37, 72),
        serializer=codec,
        compressors=None,
        **options,
    )


@pytest.mark.parametrize("shards", [None, (4, 37, 72)], ids=["chunks", "shards"])
def test_the_store_is_that_of_one_process(tmp_path, client, field, shards):
    values = np.concatenate([field, -field])
    codec = codec_for(values, rel=1e-3)
    create(tmp_path / "one.zarr", values, codec, shards=shards)[...] = values
    # Tasks write whole shards, as no two may write to one.
    lazy = da.from_array(values, chunks=(4, 37, 72))
    da.to_zarr(lazy, create(tmp_path / "many.zarr", values, codec, shards=shards))
    assert files(tmp_path / "many.zarr") == files(tmp_path / "one.zarr") and len(files(tmp_path / "one.zarr")) > 10
    one = zarr.open_array(str(tmp_path / "one.zarr"), mode="r")
    many = da.from_zarr(str(tmp_path / "many.zarr"))
    np.testing.assert_array_equal(many.compute(), one[...])
    assert np.all(np.abs(one[...].astype(float) - values) <= codec.settings.value)
    assert float(many.mean().compute()) == pytest.approx(float(one[...].mean()), rel=1e-5, abs=1e-6)


def test_a_model_travels_with_the_codec(tmp_path, client, exact_model):
    encoder, decoder = exact_model
    values = np.linspace(0.011, 0.09, 16384, dtype=np.float32).reshape(8, 2048)
    stores = {}
    for name in ["one", "many"]:
        root = zarr.create_group(str(tmp_path / f"{name}.zarr"))
        codec = CaeCodec(pw=0.1, model=store_model(root, decoder, encoder))
        stores[name] = root.create_array(
            "a", shape=values.shape, dtype="f4", chunks=(1, 2048), serializer=codec, compressors=None
        )
    stores["one"][...] = values
    da.to_zarr(da.from_array(values, chunks=(2, 2048)), stores["many"])
    assert files(tmp_path / "many.zarr") == files(tmp_path / "one.zarr")
    np.testing.assert_array_equal(da.from_zarr(stores["many"]).compute(), stores["one"][...])


def test_xarray_through_zarr(tmp_path, client, field):
    ds = xr.Dataset({"u": (("time", "lat", "lon"), field)}, coords={"time": np.arange(20)})
    encoding = {"u": {"serializer": CaeCodec(abs=0.05), "compressors": None, "chunks": (2, 37, 72)}}
    ds.to_zarr(tmp_path / "one.zarr", encoding=encoding, zarr_format=3, consolidated=False)
    ds.chunk(time=4).to_zarr(tmp_path / "many.zarr", encoding=encoding, zarr_format=3, consolidated=False)
    assert files(tmp_path / "many.zarr") == files(tmp_path / "one.zarr")
    got = xr.open_zarr(tmp_path / "many.zarr", consolidated=False)
    assert float(abs(got.u - ds.u).max()) <= 0.05


def test_processes_read_one_file(tmp_path, client, field):
    cae.save(
        tmp_path / "a.cae",
        {"u": field},
        abs=0.05,
        frame_shape=(2, 37, 72),
        dims={"u": ["time", "lat", "lon"]},
        preset="fast",
    )
    whole = np.asarray(cae.open(tmp_path / "a.cae")["u"])
    array = cae.open(tmp_path / "a.cae")["u"]
    np.testing.assert_array_equal(da.from_array(array, chunks=array.chunks).compute(), whole)
    np.testing.assert_array_equal(xr.open_dataset(tmp_path / "a.cae", chunks={}).u.max("time").compute(), whole.max(0))


def test_an_error_of_a_worker_arrives(tmp_path, client, field):
    array = create(tmp_path / "a.zarr", field, CaeCodec(abs=0.05, preset="fast"))
    array[...] = field
    chunk = tmp_path / "a.zarr" / "c" / "3" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-5])
    with pytest.raises(cae.FormatError, match="frame at byte 0"):
        da.from_zarr(str(tmp_path / "a.zarr")).compute()

"""The xarray backend and `to_cae`."""

from __future__ import annotations

import io
import pickle

import cae
import fsspec
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from cae.xarray import to_cae


@pytest.fixture(scope="module")
def dataset(field) -> xr.Dataset:
    """Winds with coordinates of every kind that climate data have."""
    lat, lon = np.linspace(-90, 90, 37), np.arange(0.0, 360.0, 5.0)
    holes = np.where(field > 8, np.nan, field)
    return xr.Dataset(
        {
            "u": (
                ("time", "lat", "lon"),
                field,
                {"units": "m s-1", "long_name": "zonal wind", "valid": np.float32(90)},
            ),
            "v": (("time", "lat", "lon"), holes.astype(np.float64), {"units": "m s-1"}),
            "mask": (("lat", "lon"), field[0] > 0),
            "count": (("lat", "lon"), np.arange(37 * 72, dtype=np.int16).reshape(37, 72)),
            "lat_bnds": (("lat", "bnds"), np.stack([lat - 2.5, lat + 2.5], axis=1)),
            "station": (("site",), ["Cape Town", "Troms\u00f8", "x"]),
            "crs": ((), np.int32(1), {"grid_mapping_name": "latitude_longitude"}),
        },
        coords={
            "time": pd.date_range("1980-01-01", periods=20, freq="MS"),
            "lat": ("lat", lat, {"bounds": "lat_bnds", "units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
            "level": 10.0,
            "area": (("lat", "lon"), np.cos(np.deg2rad(lat))[:, None] * np.ones(72), {"units": "m2"}),
            "big": ("time", np.arange(20) + (1 << 40)),
        },
        attrs={"title": "winds", "history": ["a", "b"], "version": 3},
    )


def test_a_dataset_comes_back(tmp_path, dataset):
    path = tmp_path / "a.cae"
    reports = to_cae(dataset, path, rel=1e-3, each={"v": {"abs": 0.02, "preset": "fast"}})
    assert reports["u"].bound.kind == "rel" and reports["v"].bound == ("abs", 0.02, 0.02, None)
    assert {n for n, r in reports.items() if r.bound.kind != "lossless"} == {"u", "v"}
    with xr.open_dataset(path) as got:
        assert set(got.data_vars) == {*dataset.data_vars, "quantization_info"}
        assert set(got.coords) == set(dataset.coords) and got.attrs == {
            "title": "winds",
            "history": ["a", "b"],
            "version": 3,
        }
        for name in ["mask", "count", "lat_bnds", "station", "crs", "lat", "lon", "level", "area", "big"]:
            xr.testing.assert_identical(got[name].variable.load(), dataset[name].variable)
            # Text comes back as NumPy's newer type for it.
            assert got[name].dtype == dataset[name].dtype or name == "station"
        assert np.array_equal(got.time, dataset.time) and got.time.dtype.kind == "M"
        assert got.u.dims == ("time", "lat", "lon") and got.u.attrs["units"] == "m s-1" and got.u.dtype == np.float32
        assert float(abs(got.u - dataset.u).max()) <= reports["u"].bound.max_abs
        assert float(abs(got.v - dataset.v).max()) <= 0.02 and np.array_equal(np.isnan(got.v), np.isnan(dataset.v))
        assert got.sel(time="1980-03", lat=0, method=None).u.shape == (1, 72)


def test_reading_is_lazy(tmp_path, dataset):
    path = tmp_path / "a.cae"
    to_cae(dataset[["u"]], path, abs=0.05, each={"u": {"frame_shape": (1, 37, 72), "abs": 0.05}})
    got = xr.open_dataset(path)
    assert not got.u.variable._in_memory and got.u.encoding["preferred_chunks"] == {"time": 1, "lat": 37, "lon": 72}
    whole = np.asarray(cae.open(path)["u"])
    np.testing.assert_array_equal(
        got.u.isel(time=[3, 1], lat=slice(None, None, -2), lon=[0, 5, 70]), whole[[3, 1]][:, ::-2][:, :, [0, 5, 70]]
    )
    where = xr.DataArray([2, 5, 9], dims="p")
    np.testing.assert_array_equal(got.u.isel(time=where, lat=where), whole[[2, 5, 9], [2, 5, 9]])
    assert not got.u.variable._in_memory
    chunked = xr.open_dataset(path, chunks={})
    assert chunked.u.chunks == ((1,) * 20, (37,), (72,))
    assert float(chunked.u.mean()) == pytest.approx(float(whole.mean()), rel=1e-5)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(got)).u, whole)
    np.testing.assert_array_equal(xr.open_dataset(path.read_bytes(), engine="cae").u, whole)
    with open(path, "rb") as stream:
        np.testing.assert_array_equal(xr.open_dataset(stream, engine="cae").u, whole)
    store = fsspec.filesystem("memory")
    store.pipe("/a.cae", path.read_bytes())
    with store.open("/a.cae") as remote, xr.open_dataset(remote) as got:
        np.testing.assert_array_equal(got.u[3], whole[3])


def test_cf_says_what_was_lost(tmp_path, dataset):
    path = tmp_path / "a.cae"
    to_cae(dataset[["u", "v", "count"]], path, abs=0.05, each={"v": {"pw": 0.01}})
    with xr.open_dataset(path) as got:
        assert (
            got.u.attrs["quantization"] == "quantization_info"
            and got.u.attrs["quantization_maximum_absolute_error"] == 0.05
        )
        assert got.v.attrs["quantization_maximum_relative_error"] == 0.01 and "quantization" not in got["count"].attrs
        assert got.quantization_info.attrs["algorithm"] == "cae" and "quantization" not in got.lat.attrs
        # What was said of the copy is not said of what it becomes.
        to_cae(got, tmp_path / "b.cae", lossless=True)
    with xr.open_dataset(tmp_path / "b.cae") as again:
        assert "quantization_info" not in again and "quantization" not in again.u.attrs
        np.testing.assert_array_equal(again.u, np.asarray(cae.open(path)["u"]))


def test_dask_is_computed_block_by_block(tmp_path, dataset):
    import dask.array as da
    from dask import delayed

    calls = []

    def block(t):
        calls.append(t)
        return u[t : t + 5]

    u = np.tile(dataset.u.values, (3, 1, 1))
    lazy = da.concatenate([da.from_delayed(delayed(block)(t), (5, 37, 72), np.float32) for t in range(0, 60, 5)])
    ds = xr.Dataset({"u": (("time", "lat", "lon"), lazy)})
    options = {"abs": 0.05, "preset": "fast", "threads": 2}
    to_cae(ds, tmp_path / "a.cae", each={"u": {"frame_shape": (4, 20, 72)}}, **options)
    cae.save(tmp_path / "b.cae", {"u": u}, frame_shape=(4, 20, 72), **options)
    np.testing.assert_array_equal(xr.open_dataset(tmp_path / "a.cae").u, cae.open(tmp_path / "b.cae")["u"][:])
    assert sorted(calls) == list(range(0, 60, 5))


def test_files_of_others_open_too(tmp_path, field, relief):
    cae.save(tmp_path / "a.cae", {"u": field, "z": relief}, rel=1e-2, attrs={"u": {"units": "m"}}, preset="fast")
    got = xr.open_dataset(tmp_path / "a.cae")
    assert got.u.dims == ("u_0", "u_1", "u_2") and got.z.dims == ("z_0", "z_1") and got.u.attrs["units"] == "m"


def test_a_fill_value_that_was_not_masked(tmp_path, field):
    holes = np.where(field > 8, np.float32(1e20), field)
    ds = xr.Dataset({"u": (("t", "y", "x"), holes, {"_FillValue": np.float32(1e20)})})
    to_cae(ds, tmp_path / "a.cae", abs=0.01, preset="fast")
    raw = xr.open_dataset(tmp_path / "a.cae", mask_and_scale=False).u.values
    assert np.array_equal(raw == np.float32(1e20), holes == np.float32(1e20))
    assert np.array_equal(np.isnan(xr.open_dataset(tmp_path / "a.cae").u), field > 8)


@pytest.mark.parametrize(
    ("ds", "error"),
    [
        (xr.Dataset({"a": ("x", np.array([1 << 60, 1]))}), cae.Unsupported),
        (xr.Dataset({"a": ("x", np.ones(3, np.complex64))}), cae.Unsupported),
        (xr.Dataset({"a": ("x", np.ones(3, np.longdouble))}), cae.Unsupported),
        (xr.Dataset({3: ("x", np.ones(3))}), cae.ArgumentError),
        (xr.Dataset({"a": ("x", np.ones(3), {"b": float("inf")})}), cae.ArgumentError),
        (xr.Dataset({"a": ("x", np.ones(3))}, attrs={"b": object()}), cae.ArgumentError),
    ],
    ids=str,
)
def test_what_has_no_place(tmp_path, ds, error):
    with pytest.raises(error):
        to_cae(ds, tmp_path / "a.cae", rel=1e-3)
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments(tmp_path, dataset):
    for arguments in [
        {},
        {"rel": 1e-3, "each": {"w": {"abs": 1.0}}},
        {"rel": 1e-3, "each": {"count": {"abs": 1.0}}},
        {"rel": 1e-3, "each": {"u": {"best": 1}}},
    ]:
        with pytest.raises((cae.ArgumentError, TypeError)):
            to_cae(dataset, tmp_path / "a.cae", **arguments)
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(cae.FormatError):
        xr.open_dataset(b"\x89CAE\r\n\x1a\n\x00\x01" + bytes(48), engine="cae")
    cae.save(tmp_path / "a.cae", {"a": np.ones(3)}, abs=0.1, attrs={"a": {"_cae_dtype": "object"}})
    with pytest.raises(cae.Unsupported):
        xr.open_dataset(tmp_path / "a.cae")


def test_pipes_are_read_to_their_end(tmp_path):
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise io.UnsupportedOperation("seek")

    cae.save(tmp_path / "a.cae", {"a": np.arange(3.0)}, abs=0.1)
    pipe = Pipe((tmp_path / "a.cae").read_bytes())
    assert np.allclose(xr.open_dataset(pipe, engine="cae").a, np.arange(3.0), atol=0.1)

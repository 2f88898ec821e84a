"""Files: writing, reading, indexing."""

from __future__ import annotations

import io
import pickle
import threading

import cae
import numpy as np
import pytest
from conftest import ROOT


def test_every_bound_is_kept_and_said(tmp_path, field):
    wide = float(np.ptp(field))
    for kind, value in [
        ("rel", 1e-3),
        ("abs", 0.05),
        ("pw", 0.01),
        ("rmse", 0.02),
        ("psnr", 60.0),
        ("ratio", 8.0),
        ("lossless", True),
    ]:
        path = tmp_path / f"{kind}.cae"
        report = cae.save(path, {"u": field}, preset="fast", **{kind: value})["u"]
        with cae.open(path) as file:
            array = file["u"]
            assert array.bound == report.bound and array.bound.kind == kind
            assert array.bound.value == (None if kind == "lossless" else value)
            got = np.asarray(array)
        error = np.abs(got.astype(np.float64) - field)
        assert got.dtype == np.float32 and report.max_error_over_bound <= 1.0
        assert report.max_error == error.max() and report.input_bytes == field.nbytes
        if report.bound.max_abs is not None:
            assert error.max() <= report.bound.max_abs
        if report.bound.max_pw is not None:
            assert np.all(error <= report.bound.max_pw * np.abs(field.astype(np.float64)))
        if kind == "rel":
            assert report.bound.max_abs == pytest.approx(1e-3 * wide)
        if kind == "ratio":
            assert report.ratio >= 8.0


def test_a_bound_for_each_point(field):
    bounds = np.where(np.arange(72) < 36, 1.0, 0.01) + np.zeros(field.shape)
    got = cae.decompress(cae.compress(field, abs=bounds, preset="fast"))
    assert np.all(np.abs(got.astype(np.float64) - field) <= bounds)


def test_what_a_file_says(tmp_path, field, relief):
    path = tmp_path / "two.cae"
    attrs = {"units": "m s-1", "valid": np.float32(1.5), "levels": np.arange(3), "name": "vent zonal \u00e9"}
    cae.save(
        path,
        {"u": field, "z": relief},
        rel=1e-2,
        dims={"u": ["time", "lat", "lon"]},
        attrs={"u": attrs},
        frame_shape=None,
        preset="fast",
    )
    with cae.open(path) as file:
        assert list(file) == ["u", "z"] and len(file) == 2 and "u" in file and "v" not in file
        u, z = file["u"], file["z"]
        assert (u.shape, u.dtype, u.dims, u.ndim, u.size, u.nbytes) == (
            (20, 37, 72),
            np.float32,
            ("time", "lat", "lon"),
            3,
            53280,
            213120,
        )
        assert u.attrs == {"units": "m s-1", "valid": 1.5, "levels": [0, 1, 2], "name": "vent zonal \u00e9"}
        assert z.dtype == np.float64 and z.attrs == {} and z.dims == ()
        assert u.chunks == (20, 37, 72) and u.frame_count == 1 and 0 < u.stored_bytes < file.nbytes
        with pytest.raises(KeyError):
            file["v"]
        assert file.verify() == []
    assert file.closed
    with pytest.raises(cae.ArgumentError, match="closed"):
        u[0]


@pytest.fixture(scope="module")
def framed(tmp_path_factory, field):
    path = tmp_path_factory.mktemp("framed") / "f.cae"
    cae.save(path, {"u": field}, lossless=True, preset="fast", frame_shape=(4, 10, 16))
    return path


KEYS = [
    (),
    ...,
    0,
    -1,
    np.int64(3),
    slice(3, 17, 5),
    slice(None, None, -1),
    slice(15, 2, -3),
    slice(5, 5),
    slice(-300, 300),
    (1, 2, 3),
    (..., 5),
    (2, ..., slice(None, None, 20)),
    (slice(None), 7),
    (None, 3, None, ..., 2),
    [1, 5, 5, 0],
    (slice(2, 9), [0, 36, -1]),
    ([0, 19], [3, 3], [70, 2]),
    ([[0, 1], [2, 3]], slice(1, 4)),
    (slice(1, 3), np.array([True] + [False] * 35 + [True])),
    ([], 2),
    (0, slice(None), [5, 2]),
]


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_indexing_is_numpys(framed, field, key):
    with cae.open(framed) as file:
        got = file["u"][key]
    assert got.shape == field[key].shape and got.dtype == field.dtype
    np.testing.assert_array_equal(got, field[key])


def test_masks_and_wrong_indices(framed, field):
    with cae.open(framed) as file:
        u = file["u"]
        mask = field > 5.0
        np.testing.assert_array_equal(u[mask], field[mask])
        np.testing.assert_array_equal(u[2, mask[2]], field[2, mask[2]])
        for key in [20, -21, (0, 0, 0, 0), (..., ...), "u", 1.5, [20], np.ones((3, 3), bool), True]:
            with pytest.raises(IndexError):
                u[key]
        assert isinstance(u[0, 0, 0], np.float32)
        assert len(u) == 20 and sum(1 for _ in u) == 20
        assert np.asarray(u, dtype=np.float64).dtype == np.float64
        with pytest.raises(ValueError):
            np.asarray(u, copy=False)


def test_only_the_frames_that_are_needed_are_read(framed, field):
    data = bytearray(framed.read_bytes())
    # The frames start soon after the signature, the first one first: this damages it alone.
    data[24:32] = bytes(8)
    with cae.open(data) as file:
        u = file["u"]
        [damage] = file.verify()
        assert damage.frame == 0 and damage.region == (slice(0, 4), slice(0, 10), slice(0, 16)) and damage.array == "u"
        for key in [np.s_[4:], np.s_[:, 10:], np.s_[..., 16:], np.s_[4::7, 10::19], np.s_[[5, 19], [10, 36]]]:
            np.testing.assert_array_equal(u[key], field[key])
        # Steps longer than a frame leave out the frames between: these have indices 0 and 12.
        with pytest.raises(cae.FormatError) as caught:
            u[:2]
        assert caught.value.place == "frame 0 of array 0" and caught.value.offset > 0
        again = pickle.loads(pickle.dumps(caught.value))
        assert str(again) == str(caught.value) and again.place == caught.value.place


class Counted(io.BytesIO):
    """Says how many bytes were read, a few at a time."""

    count = 0

    def read(self, size=-1, /):
        piece = super().read(min(size, 1000) if size >= 0 else size)
        self.count += len(piece)
        return piece


def test_file_objects_are_read_as_far_as_needed(framed, field):
    path = framed
    data = path.read_bytes()
    source = Counted(data)
    with cae.open(source, threads=3) as file:
        opened = source.count
        assert file.nbytes == len(data) and opened <= 16 + 65536
        corner = file["u"][0, :2, :2]
        assert 0 < source.count - opened < file["u"].stored_bytes / 4
        with cae.open(path) as mapped:
            assert np.array_equal(corner, mapped["u"][0, :2, :2])
            assert np.array_equal(np.asarray(file["u"]), np.asarray(mapped["u"]))
        assert file.verify() == []
    assert not source.closed
    with open(path, "rb") as binary, cae.open(binary) as file:
        assert file["u"].shape == field.shape


def test_what_a_file_object_raises_is_raised(framed):
    path = framed

    class Broken(io.BytesIO):
        broken = False

        def read(self, size=-1, /):
            if self.broken:
                raise ConnectionResetError("the line is cut")
            return super().read(size)

    source = Broken(path.read_bytes())
    file = cae.open(source)
    source.broken = True
    with pytest.raises(ConnectionResetError, match="the line is cut"):
        file["u"][0]
    with pytest.raises(ConnectionResetError):
        file.verify()
    # Fewer bytes than it said, and no bytes at all.
    short = Counted(path.read_bytes())
    file = cae.open(short)
    short.truncate(100)
    with pytest.raises(OSError, match="of .* bytes from byte"):
        np.asarray(file["u"])
    with open(path, encoding="latin-1") as text, pytest.raises((TypeError, OSError, ValueError)):
        cae.open(text)


def test_long_steps_leave_frames_out(tmp_path):
    values = np.arange(6000, dtype=np.float64).reshape(100, 60)
    path = tmp_path / "steps.cae"
    cae.save(path, {"a": values}, lossless=True, frame_shape=(10, 60))
    data = bytearray(path.read_bytes())
    with cae.open(path) as file:
        start = next(i for i in range(len(data)) if _breaks(data, i, file["a"].stored_bytes))
    data[start] ^= 0xFF
    with cae.open(data) as file:
        bad = {d.frame for d in file.verify()}
        assert bad == {1}
        np.testing.assert_array_equal(file["a"][5::25], values[5::25])
        np.testing.assert_array_equal(file["a"][[0, 99]], values[[0, 99]])
        with pytest.raises(cae.FormatError):
            file["a"][::5]


def _breaks(data: bytes, at: int, stored: int) -> bool:
    """Whether a changed byte there damages frame 1 and nothing else."""
    if at < 16 or at > stored:
        return False
    bent = bytearray(data)
    bent[at] ^= 0xFF
    try:
        with cae.open(bent) as file:
            return {d.frame for d in file.verify()} == {1}
    except cae.CaeError:
        return False


def test_shapes_without_values_or_dimensions(tmp_path):
    arrays = {
        "none": np.zeros((0, 3), np.float32),
        "one": np.float64(2.5),
        "list": [1.0, 2.0],
        "": np.ones((1,) * 8, np.float32),
    }
    path = tmp_path / "odd.cae"
    cae.save(path, arrays, abs=0.1)
    with cae.open(path) as file:
        assert file["none"][:].shape == (0, 3) and file["none"][:, 1].shape == (0,)
        assert file["one"][()] == pytest.approx(2.5, abs=0.1) and file["one"].shape == ()
        assert file["list"].dtype == np.float64 and file[""].ndim == 8
        with pytest.raises(TypeError):
            len(file["one"])


def test_every_layout_of_memory_gives_the_same_file(field):
    plain = cae.compress(field, rel=1e-3, preset="fast")
    assert cae.compress(np.asfortranarray(field), rel=1e-3, preset="fast") == plain
    assert cae.compress(field.astype(">f4"), rel=1e-3, preset="fast") == plain
    assert cae.compress(np.repeat(field, 2, axis=1)[:, ::2], rel=1e-3, preset="fast") == plain
    raw = np.frombuffer(b"\0" + field.tobytes(), np.uint8)[1:].view(np.float32).reshape(field.shape)
    assert not raw.flags.aligned or raw.ctypes.data % 4 == 0
    assert cae.compress(raw, rel=1e-3, preset="fast") == plain
    readonly = field.copy()
    readonly.flags.writeable = False
    assert cae.compress(readonly, rel=1e-3, preset="fast") == plain


def test_missing_values(field):
    holes = field.copy()
    holes[:, 3:9, 5:20] = -9999.0
    holes[0, 0, 0] = np.nan
    got = cae.decompress(cae.compress(holes, abs=0.01, fill=-9999.0))
    assert np.array_equal(got == -9999.0, holes == -9999.0) and np.isnan(got[0, 0, 0])
    masked = np.ma.masked_greater(field, 5.0)
    got = cae.decompress(cae.compress(masked, abs=0.01))
    assert np.array_equal(np.isnan(got), masked.mask)
    got = cae.decompress(cae.compress(masked, abs=0.01, fill=1e20))
    assert np.array_equal(got == np.float32(1e20), masked.mask)


class Boxes:
    """A source that is no NumPy array."""

    def __init__(self, values, fail=False):
        self.values, self.shape, self.dtype, self.read, self.fail = values, values.shape, values.dtype, [], fail

    def __getitem__(self, key):
        if self.fail:
            raise RuntimeError("the disk is gone")
        self.read.append(key)
        return self.values[key]


def test_sources_are_read_box_by_box(tmp_path, field):
    source = Boxes(field)
    cae.save(tmp_path / "a.cae", {"u": source}, rel=1e-3, frame_shape=(5, 37, 72), preset="fast")
    assert max(s[0].stop - s[0].start for s in source.read) == 5
    cae.save(tmp_path / "b.cae", {"u": field}, rel=1e-3, frame_shape=(5, None, -1), preset="fast")
    assert (tmp_path / "a.cae").read_bytes() == (tmp_path / "b.cae").read_bytes()
    with pytest.raises(RuntimeError, match="the disk is gone"):
        cae.save(tmp_path / "c.cae", {"u": Boxes(field, fail=True)}, rel=1e-3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.cae", "b.cae"]


def test_progress_is_told_and_can_stop_the_write(tmp_path):
    values = np.random.default_rng(1).normal(size=(64, 128, 128))
    told = []
    cae.save(
        tmp_path / "a.cae", {"a": values, "b": values[0]}, abs=1e-3, preset="fast", progress=lambda *x: told.append(x)
    )
    total = values.size + values[0].size
    assert told[-1] == (total, total) and told == sorted(told)

    def stop(done, total):
        raise KeyboardInterrupt

    for arrays in [{"a": values}, {"small": values[:1], "a": values}]:
        with pytest.raises(KeyboardInterrupt):
            cae.save(tmp_path / "b.cae", arrays, abs=1e-3, frame_shape=(1, 128, 128), progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["a.cae"]


def test_a_signal_stops_the_write(tmp_path):
    import os
    import signal
    import time

    values = np.random.default_rng(2).normal(size=(400, 128, 128))
    # A shell's background jobs ignore the signal, and what they start inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        cae.save(tmp_path / "a.cae", {"a": values}, abs=1e-6, preset="small", frame_shape=(1, 128, 128), threads=1)
    assert time.monotonic() - began < 30.0 and list(tmp_path.iterdir()) == []


def test_threads_read_one_file_together(framed, field):
    with cae.open(framed, threads=1) as file:
        results = [None] * 8

        def work(i):
            results[i] = file["u"][i : i + 9]

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert all(np.array_equal(r, field[i : i + 9]) for i, r in enumerate(results))


def test_files_travel_between_processes(framed, field):
    for source in [framed, framed.read_bytes()]:
        with cae.open(source) as file:
            array = pickle.loads(pickle.dumps(file["u"]))
            np.testing.assert_array_equal(array[3], field[3])
            assert pickle.loads(pickle.dumps(file)) != file


def test_models_in_files_and_beside_them(tmp_path, exact_model):
    encoder, decoder = exact_model
    values = np.linspace(0.011, 0.09, 4096, dtype=np.float32)
    path = tmp_path / "m.cae"
    cae.save(path, {"a": values}, pw=0.1, model=exact_model)
    with cae.open(path) as file:
        [digest] = file.models
        assert file["a"].model == digest and file.model_bytes(digest) == decoder
        inside = np.asarray(file["a"])
    assert np.all(np.abs(inside - values) <= 0.1 * values)
    cae.save(path, {"a": values}, pw=0.1, model=exact_model, embed_model=False)
    with cae.open(path) as file, pytest.raises(cae.Unsupported, match=digest):
        file["a"][:]
    (tmp_path / f"{digest}.onnx").write_bytes(decoder)
    with cae.open(path, model_dirs=[tmp_path]) as file:
        np.testing.assert_array_equal(file["a"][:], inside)


def test_golden_files_of_the_library_are_read(tmp_path):
    """Files of every kind, by the independent manifest: CRC-32 of the values of each array."""
    import zlib

    lines = (ROOT / "testdata" / "golden" / "manifest.tsv").read_text().splitlines()
    head = lines[0].lstrip("# ").split("\t")
    checked = 0
    for line in lines[1:]:
        row = dict(zip(head, line.split("\t")))
        if "model_conv16" in row["file"] or "model_sigmoid" in row["file"]:
            # These networks are not exact: another engine may differ in the last bits (SPEC 5.5).
            continue
        with cae.open(ROOT / "testdata" / "golden" / row["file"]) as file:
            values = np.asarray(file[row["array"].strip('"')])
        crc = zlib.crc32(values.astype(values.dtype.newbyteorder("<")).tobytes())
        assert f"{crc:08x}" == row["crc32 of little-endian values"], row
        checked += 1
    assert checked > 20


def test_python_goes_on_meanwhile_and_nothing_is_copied(tmp_path):
    import tracemalloc

    values = np.random.default_rng(3).normal(size=(24, 128, 256)).astype(np.float32)
    ticks, stop = [0], threading.Event()

    def tick():
        while not stop.wait(0.001):
            ticks[0] += 1

    thread = threading.Thread(target=tick)
    thread.start()
    seen = []
    try:
        tracemalloc.start()
        for given in [values, values[:, ::-1]]:
            before = ticks[0]
            tracemalloc.reset_peak()
            cae.save(tmp_path / "a.cae", {"a": given}, abs=1e-4, preset="fast", threads=2, frame_shape=(2, 128, 256))
            seen.append(ticks[0] - before)
            # NumPy tells of its memory: a view that is not contiguous is copied frame by frame.
            assert tracemalloc.get_traced_memory()[1] < values.nbytes / 2
        before = ticks[0]
        np.asarray(cae.open(tmp_path / "a.cae")["a"])
        cae.decompress_frame(cae.compress_frame(values, abs=1e-4, preset="fast"), values.shape, "f4")
        seen.append(ticks[0] - before)
    finally:
        tracemalloc.stop()
        stop.set()
        thread.join()
    assert min(seen) >= 5, seen


def test_a_float_model_is_refused_or_falls_back():
    models = ROOT / "testdata" / "models"
    pair = (models / "sigmoid512-encoder.onnx", models / "sigmoid512-decoder.onnx")
    values = np.linspace(0.011, 0.09, 4096, dtype=np.float32)
    # Its rounding errors on other engines exceed this bound everywhere.
    with pytest.raises(cae.ArgumentError):
        cae.compress(values, pw=1e-5, model=pair)
    with pytest.raises(cae.ArgumentError, match="guard"):
        cae.compress(values, pw=1e-5, model=pair, guard="ask")
    writer = cae.Writer()
    report = writer.add("a", values, pw=1e-5, model=writer.add_model(*pair), guard="fall-back")
    assert report.fell_back == 1 and report.guard is None
    assert np.all(np.abs(cae.decompress(writer.getvalue()) - values) <= 1e-5 * values)
    writer = cae.Writer()
    report = writer.add("a", values, pw=0.1, model=writer.add_model(*pair))
    assert report.fell_back == 0 and report.guard > 0.0


def test_arrays_are_copied_as_they_are_stored(tmp_path):
    pair = tuple(ROOT / "testdata" / "models" / f"sigmoid512-{side}.onnx" for side in ("encoder", "decoder"))
    values = np.linspace(0.011, 0.09, 4096, dtype=np.float32)
    cae.save(tmp_path / "learned.cae", {"a": values}, pw=0.1, model=pair)
    cae.save(tmp_path / "plain.cae", {"a": values}, pw=0.1, attrs={"a": {"units": "K"}})
    with cae.open(tmp_path / "learned.cae") as learned, cae.open(tmp_path / "plain.cae") as plain:
        writer = cae.Writer()
        writer.copy(plain["a"])
        with pytest.raises(cae.ArgumentError, match="models must be added before"):
            writer.copy(learned["a"], "b")
        writer = cae.Writer()
        writer.copy_models(learned)
        writer.copy(plain["a"])
        writer.copy(learned["a"], "b")
        with pytest.raises(cae.ArgumentError, match="b"):
            writer.copy(plain["a"], "b")
        with cae.open(writer.getvalue()) as copy:
            assert copy.models == learned.models and copy["a"].attrs == {"units": "K"} and not copy.verify()
            assert copy["b"].stored_bytes == learned["a"].stored_bytes
            assert np.array_equal(copy["b"], learned["a"]) and np.array_equal(copy["a"], plain["a"])

"""Bad input: a clear exception of the right class, no crash, nothing half written."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys

import cae
import numpy as np
import pytest
from conftest import ROOT

INVALID = ROOT / "testdata" / "invalid"
# Those of tests/suite/open.rs, under which the manifest was made.
SMALL = {
    "memory": 2 << 20,
    "array_bytes": 1 << 20,
    "directory_bytes": 8 << 10,
    "frame_values": 1 << 16,
    "model_bytes": 64 << 10,
    "model_nodes": 64,
    "model_elements": 1 << 16,
    "model_operations": 1 << 18,
}
CLASSES = {"Format": cae.FormatError, "Unsupported": cae.Unsupported, "Limit": cae.LimitError, "Model": cae.ModelError}


def read_whole(source) -> None:
    with cae.open(source, limits=SMALL) as file:
        for digest in file.models:
            file.model_bytes(digest)
        for array in file.values():
            array.attrs
            array[...]


def test_every_invalid_file_gives_its_class():
    rows = [
        line.split("\t") for line in (INVALID / "manifest.tsv").read_text().splitlines() if not line.startswith("#")
    ]
    seen = set()
    for name, error in rows:
        kind = error.split("(")[0]
        with pytest.raises(CLASSES[kind]) as mapped:
            read_whole(INVALID / name)
        with pytest.raises(CLASSES[kind]) as held:
            read_whole((INVALID / name).read_bytes())
        assert str(mapped.value) == str(held.value) != ""
        if kind in ("Format", "Unsupported"):
            assert str(held.value).startswith(f"{held.value.place} at byte {held.value.offset}: ")
        seen.add(kind)
    assert len(rows) > 50 and {"Format", "Unsupported", "Limit"} <= seen


def test_a_file_cut_anywhere_or_bent_is_refused(field):
    data = cae.compress(field[:2], rel=1e-3, preset="fast")
    for cut in range(0, len(data), 7):
        with pytest.raises(cae.FormatError):
            read_whole(data[:cut])
    for at in range(0, len(data), 11):
        bent = bytearray(data)
        bent[at] ^= 0x10
        with pytest.raises(cae.CaeError):
            read_whole(bent)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        cae.open(tmp_path / "none.cae")
    assert caught.value.errno == errno.ENOENT and caught.value.filename == str(tmp_path / "none.cae")
    with pytest.raises(FileNotFoundError):
        cae.open(tmp_path / "none.cae", mmap=False)
    with pytest.raises(OSError):
        cae.open(tmp_path)
    with pytest.raises(OSError):
        cae.save(tmp_path / "no" / "folder.cae", {"a": np.ones(3)}, abs=1.0)
    with pytest.raises(OSError, match="regular"):
        cae.save("/dev/null", {"a": np.ones(3)}, abs=1.0)
    (tmp_path / "empty.cae").write_bytes(b"")
    for options in [{}, {"mmap": False}]:
        with pytest.raises(cae.FormatError):
            cae.open(tmp_path / "empty.cae", **options)
    with pytest.raises(TypeError):
        cae.open(3.5)


def test_limits(field):
    data = cae.compress(field, rel=1e-3, preset="fast")
    with pytest.raises(cae.LimitError) as caught:
        cae.open(data, limits={"array_bytes": 1000})["array"][:]
    assert (caught.value.wanted, caught.value.allowed, caught.value.resource) == (field.nbytes, 1000, "array size")
    assert pickle.loads(pickle.dumps(caught.value)).wanted == field.nbytes
    assert cae.open(data, limits={"array_bytes": 1000})["array"][0, 0, :3].shape == (3,)
    with pytest.raises(cae.LimitError):
        cae.open(data, limits={"frame_values": 10})["array"][0, 0, 0]
    assert cae.open(data, limits="none")["array"][0, 0, 0].shape == ()
    for wrong in [{"time": 3}, "all"]:
        with pytest.raises(cae.ArgumentError):
            cae.open(data, limits=wrong)
    with pytest.raises(OverflowError):
        cae.open(data, limits={"memory": -1})


def test_a_hostile_shape_takes_no_memory():
    # 2^63 values of one constant frame would fit a few bytes if anyone believed them.
    with pytest.raises(cae.LimitError):
        cae.decompress_frame(b"x", (1 << 31, 1 << 31), "float32")
    with pytest.raises(cae.LimitError):
        cae.decompress_frame(b"x", (1 << 40,) * 3, "float32")
    with pytest.raises(OverflowError):
        cae.decompress_frame(b"x", (1 << 80,), "float32")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"rel": 1e-3, "abs": 1.0},
        {"rel": 0.0},
        {"rel": -1.0},
        {"abs": float("nan")},
        {"pw": float("inf")},
        {"rel": "much"},
        {"lossless": True, "rel": 1e-3},
        {"err": 1e-3},
        {"rel": 1e-3, "preset": "best"},
        {"rel": 1e-3, "frame_shape": (5, 5)},
        {"rel": 1e-3, "frame_shape": (5, 5, 0)},
        {"rel": 1e-3, "frame_shape": (-5, 5, 5)},
        {"abs": np.ones((3, 3))},
        {"rel": 1e-3, "model": (b"not", b"onnx"), "error": cae.ModelError},
        {"rel": 1e-3, "model": (b"x",)},
    ],
    ids=repr,
)
def test_wrong_arguments_leave_nothing(tmp_path, field, arguments):
    arguments = dict(arguments)
    error = arguments.pop("error", cae.ArgumentError)
    with pytest.raises(error) as caught:
        cae.save(tmp_path / "a.cae", {"u": field}, **arguments)
    assert issubclass(error, cae.CaeError) and str(caught.value)
    if error is cae.ArgumentError:
        assert isinstance(caught.value, ValueError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "values",
    [
        np.arange(5),
        np.ones(3, np.complex64),
        np.ones(3, np.float16),
        np.array(["a"]),
        np.array([1, None]),
        np.ones((1,) * 9),
        "text",
        object(),
    ],
    ids=repr,
)
def test_values_that_have_no_place(tmp_path, values):
    with pytest.raises(cae.ArgumentError):
        cae.save(tmp_path / "a.cae", {"u": values}, rel=1e-3)
    assert list(tmp_path.iterdir()) == []


def test_names_and_attributes_that_have_no_place(tmp_path, field):
    save = lambda **k: cae.save(tmp_path / "a.cae", {"u": field}, rel=1e-3, **k)
    for wrong in [
        {"dims": {"u": ["time"]}},
        {"dims": {"v": ["time"]}},
        {"attrs": {"u": {"a": object()}}},
        {"attrs": {"u": {"a": float("nan")}}},
        {"attrs": {"u": {"a": 1j}}},
        {"dims": {"u": ["a", "b", "c\0"]}},
    ]:
        with pytest.raises(cae.ArgumentError):
            save(**wrong)
    with pytest.raises(cae.ArgumentError):
        cae.save(tmp_path / "a.cae", {"u\0": field}, rel=1e-3)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path, field):
    path = tmp_path / "a.cae"
    cae.save(path, {"u": field}, rel=1e-3, preset="fast")
    before = path.read_bytes()
    with pytest.raises(cae.ArgumentError):
        cae.save(path, {"u": field, "v": np.arange(3)}, rel=1e-3, preset="fast")
    with pytest.raises(ZeroDivisionError), cae.Writer(path) as writer:
        writer.add("u", field, abs=1.0, preset="fast")
        1 / 0
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_writer_after_an_error(tmp_path, field):
    writer = cae.Writer()
    writer.add("u", field, rel=1e-3, preset="fast")
    with pytest.raises(cae.ArgumentError, match="named"):
        writer.add("u", field, rel=1e-3, preset="fast")
    with pytest.raises(cae.ArgumentError, match="model"):
        writer.add("v", field, rel=1e-3, model=0)
    with pytest.raises(cae.ArgumentError):
        writer.add_model(None, (ROOT / "testdata/models/exact512-decoder.onnx"))
    # Wrong arguments do no harm.
    writer.add("v", field[0], rel=1e-3, preset="fast")
    data = writer.getvalue()
    assert list(cae.open(data)) == ["u", "v"]
    for call in [lambda: writer.add("w", field, rel=1e-3), writer.getvalue, writer.commit]:
        with pytest.raises(cae.ArgumentError):
            call()
    broken = cae.Writer(tmp_path / "a.cae")

    def fail(*_):
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        broken.add("u", field, rel=1e-3, progress=fail)
    with pytest.raises(cae.ArgumentError):
        broken.commit()
    assert list(tmp_path.iterdir()) == []


def test_frames(field, relief):
    for values in [field, relief, field[0, 0, 0]]:
        frame = cae.code_frame(values, abs=0.05)
        assert frame.max_error_over_bound <= 1.0 and frame.bound == ("abs", 0.05, 0.05, None) and not frame.needs_model
        got = cae.decompress_frame(frame.data, values.shape, values.dtype)
        assert (
            np.all(np.abs(got.astype(float) - values) <= 0.05)
            and got.dtype == values.dtype
            and got.shape == values.shape
        )
    data = cae.compress_frame(field, abs=0.05)
    assert np.array_equal(
        cae.decompress_frame(memoryview(data), field.shape, "<f4"),
        cae.decompress_frame(bytearray(data), field.shape, "float32"),
    )
    for cut in range(0, len(data), 97):
        with pytest.raises(cae.FormatError):
            cae.decompress_frame(data[:cut], field.shape, "float32")
    with pytest.raises(cae.FormatError):
        cae.decompress_frame(data, (3, 3), "float32")
    with pytest.raises(cae.CaeError):
        cae.decompress_frame(data, field.shape, "float64")
    for shape, dtype in [((0,), "float32"), ((-3,), "float32"), (field.shape, "int32"), (field.shape, ">f4")]:
        with pytest.raises(cae.ArgumentError):
            cae.decompress_frame(data, shape, dtype)
    with pytest.raises(cae.ArgumentError):
        cae.compress_frame(np.ones((0, 3)), abs=1.0)
    with pytest.raises(cae.ArgumentError):
        cae.compress_frame(field, abs=np.ones(field.shape))


def test_models_are_found_by_digest(tmp_path, exact_model, monkeypatch):
    encoder, decoder = exact_model
    values = np.linspace(0.011, 0.09, 2048, dtype=np.float32)
    model = cae.models.load(decoder, encoder)
    frame = cae.code_frame(values, pw=0.1, model=model)
    assert frame.needs_model
    got = cae.decompress_frame(frame.data, values.shape, "float32", model=model)
    assert np.all(np.abs(got - values) <= 0.1 * values)
    with pytest.raises(cae.CaeError):
        cae.decompress_frame(frame.data, values.shape, "float32")
    # Another process, which knows of no model, looks in the folders of the environment.
    (tmp_path / "frame").write_bytes(frame.data)
    code = (
        "import cae, sys; d = open(sys.argv[1], 'rb').read()\n"
        "try: cae.decompress_frame(d, (2048,), 'f4', model=sys.argv[2]); print('found')\n"
        "except cae.Unsupported as e: print('missing')\n"
        "except cae.FormatError as e: print('wrong')\n"
    )
    run = lambda: subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "frame"), model.digest],
        env={**os.environ, "CAE_MODEL_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert run() == "missing"
    (tmp_path / f"{model.digest}.onnx").write_bytes(decoder + b"x")
    assert run() == "wrong"
    (tmp_path / f"{model.digest}.onnx").write_bytes(decoder)
    assert run() == "found"
    with pytest.raises(cae.ArgumentError):
        cae.models.find("../secret")


def test_decompress_needs_a_name_where_there_are_two(field):
    data = cae.compress({"u": field, "v": field[0]}, abs=0.1, preset="fast")
    assert cae.decompress(data, "v").shape == (37, 72)
    for name in [None, "w"]:
        with pytest.raises(cae.ArgumentError):
            cae.decompress(data, name)

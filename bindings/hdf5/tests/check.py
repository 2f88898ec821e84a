"""The filter in other people's hands: h5py, hdf5-tools and netCDF write what the others read, and damage ends in an error.

    python3 bindings/hdf5/tests/check.py PLUGIN.so

Needs h5py (bindings/hdf5/tests/requirements.txt), h5dump, h5repack, h5ls, nccopy, ncdump and ncgen. Runs docs/hdf5.md too.
"""

import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

import numpy as np

ROOT = pathlib.Path(__file__).parents[3]
PLUGIN = pathlib.Path(sys.argv.pop(1)).resolve()
SCRATCH = tempfile.TemporaryDirectory()
FOLDER = pathlib.Path(SCRATCH.name)
(FOLDER / "plugins").mkdir()
shutil.copy(PLUGIN, FOLDER / "plugins" / PLUGIN.name)
# HDF5 reads this when it is loaded.
os.environ["HDF5_PLUGIN_PATH"] = str(FOLDER / "plugins")
os.environ.pop("CAE_MODEL_PATH", None)

import h5py  # noqa: E402

CAE = 458
LOSSLESS, ABSOLUTE, RANGE, POINTWISE, RMSE, PSNR, RATIO = range(7)
BALANCED, FAST, SMALL = range(3)


def words(kind, bound=0.0, preset=BALANCED, model=None):
    """The user's part of cd_values."""
    digest = struct.unpack("<8I", model) if model else ()
    return (kind, *struct.unpack("<2I", struct.pack("<d", bound)), preset | (256 if model else 0), *digest)


def wind():
    return np.fromfile(ROOT / "testdata/raw/navy_uwnd_20x37x72.f32", "<f4").reshape(20, 37, 72)


def run(*command, fails=False, **environment):
    done = subprocess.run(
        [str(c) for c in command], cwd=FOLDER, capture_output=True, text=True, timeout=600, env={**os.environ, **environment}
    )
    assert (done.returncode != 0) == fails, (command, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout + (done.stderr if fails else "")


def dumped(name, dataset, dtype):
    """The values as h5dump writes them."""
    run("h5dump", "-d", dataset, "-b", "LE", "-o", "dump.bin", name)
    return np.fromfile(FOLDER / "dump.bin", dtype)


class Filter(unittest.TestCase):
    def write(self, name, values, opts, chunks=None, **more):
        with h5py.File(FOLDER / name, "w") as f:
            f.create_dataset("x", data=values, chunks=chunks or values.shape, compression=CAE, compression_opts=opts, **more)

    def read(self, name):
        with h5py.File(FOLDER / name) as f:
            return f["x"][()]

    def other_process(self, name):
        """What a Python that has loaded nothing yet reads."""
        program = f"import h5py, sys; sys.stdout.buffer.write(h5py.File('{name}')['x'][()].tobytes())"
        return subprocess.run([sys.executable, "-c", program], cwd=FOLDER, stdout=subprocess.PIPE, check=True).stdout

    def complaint(self, action):
        """What is said when the action fails: by the exception, or, where HDF5 drops that, on stderr."""
        with tempfile.TemporaryFile("w+") as said:
            stderr = os.dup(2)
            os.dup2(said.fileno(), 2)
            try:
                with self.assertRaises(Exception) as e:
                    action()
            finally:
                os.dup2(stderr, 2)
                os.close(stderr)
            said.seek(0)
            return f"{e.exception} {said.read()}"

    def refused(self, part, values, opts, **more):
        self.assertIn(part, self.complaint(lambda: self.write("refused.h5", values, opts, **more)))

    def test_h5py_reads_what_it_wrote_within_every_kind_of_bound(self):
        x = wind().astype("f8")
        span = x.max() - x.min()
        for dtype in ("<f4", ">f4", "<f8", ">f8"):
            a = x.astype(dtype)
            for kind, bound, allowed in [
                (LOSSLESS, 0, 0 * x),
                (ABSOLUTE, 0.05, 0.05 + 0 * x),
                (RANGE, 1e-3, 1e-3 * span + 0 * x),
                (POINTWISE, 0.01, 0.01 * abs(x)),
            ]:
                for preset in (FAST, BALANCED):
                    self.write("a.h5", a, words(kind, bound, preset), fillvalue=np.nan)
                    y = self.read("a.h5")
                    self.assertEqual(y.dtype, a.dtype)
                    self.assertTrue((abs(a.astype("f8") - y.astype("f8")) <= allowed).all(), (dtype, kind, preset))
        self.write("a.h5", wind(), words(RMSE, 0.1), fillvalue=np.nan)
        self.assertLessEqual(np.sqrt(np.mean((x - self.read("a.h5")) ** 2)), 0.1)
        self.write("a.h5", wind(), words(PSNR, 50), fillvalue=np.nan)
        self.assertGreaterEqual(20 * np.log10(span / np.sqrt(np.mean((x - self.read("a.h5")) ** 2))), 50)
        self.write("a.h5", wind(), words(RATIO, 8), fillvalue=np.nan)
        with h5py.File(FOLDER / "a.h5") as f:
            self.assertLessEqual(f["x"].id.get_storage_size(), wind().nbytes / 8)

    def test_bounds_travel_exactly_and_the_dataset_is_described(self):
        self.write("words.h5", wind(), words(ABSOLUTE, 0.1, SMALL), chunks=(20, 37, 72), fillvalue=-999.0)
        with h5py.File(FOLDER / "words.h5") as f:
            number, flags, stored, name = f["x"].id.get_create_plist().get_filter(0)
        self.assertEqual((number, flags), (CAE, 0))
        self.assertTrue(name.startswith(b"cae"))
        self.assertEqual(stored[:4], words(ABSOLUTE, 0.1, SMALL))
        self.assertEqual(struct.unpack("<d", struct.pack("<2I", *stored[1:3])), (0.1,))
        self.assertEqual(stored[4:8], (1, 1, 0, 1))
        self.assertEqual(struct.unpack("<d", struct.pack("<2I", *stored[8:10])), (-999.0,))
        self.assertEqual(stored[10:], (3, 20, 37, 72))

    def test_a_chunk_is_a_frame_that_the_specification_decodes(self):
        sys.path.insert(0, str(ROOT / "tests/interop"))
        import frames

        self.write("frame.h5", wind(), words(ABSOLUTE, 0.1))
        with h5py.File(FOLDER / "frame.h5") as f:
            mask, chunk = f["x"].id.read_direct_chunk((0, 0, 0))
            y = f["x"][()]
        self.assertEqual(mask, 0)
        decoded = frames.decode(chunk, list(wind().shape), np.dtype("<f4"), None)
        self.assertEqual(np.asarray(decoded).reshape(y.shape).tobytes(), y.tobytes())

    def test_chunks_beyond_the_edge_and_growing_datasets(self):
        x = wind()
        with h5py.File(FOLDER / "grow.h5", "w") as f:
            d = f.create_dataset("x", (0, 37, 72), "f4", chunks=(6, 16, 32), maxshape=(None, 37, 72), fillvalue=np.nan,
                                 compression=CAE, compression_opts=words(RANGE, 1e-3))
            for n in (7, 20):
                d.resize(n, 0)
                d[:n] = x[:n]
            self.assertLessEqual(abs(d[()] - x).max(), 1e-3 * (x.max() - x.min()))
            d.resize(25, 0)
            self.assertTrue(np.isnan(d[22:]).all())
        self.assertTrue(np.array_equal(dumped("grow.h5", "/x", "<f4").reshape(25, 37, 72), self.read("grow.h5"), True))

    def test_fill_values_come_back_bit_for_bit(self):
        x = wind()
        x[:, 5:9] = 9.96921e36
        self.write("fill.h5", x, words(ABSOLUTE, 0.1), fillvalue=x[0, 5, 0])
        y = self.read("fill.h5")
        self.assertTrue((y[:, 5:9] == x[0, 5, 0]).all() and abs(y - x).max() <= 0.1)
        with_fill = (FOLDER / "fill.h5").stat().st_size
        self.write("fill.h5", x, words(ABSOLUTE, 0.1))
        self.assertLessEqual(with_fill, (FOLDER / "fill.h5").stat().st_size)

    def test_what_cannot_be_stored_is_refused_when_the_dataset_is_created(self):
        x = wind()
        good = words(ABSOLUTE, 0.1)
        self.refused("not an IEEE float", x.astype("i4"), good)
        self.refused("not an IEEE float", x.astype("f2"), good)
        self.refused("another filter comes first", x, good, shuffle=True)
        self.refused("at most 8", np.zeros((1,) * 9, "f4"), good)
        self.refused("16777216 values are possible", np.zeros(2**24 + 1, "f4"), good)
        self.refused("at least 4 needed", x, (1, 0))
        self.refused("bound kind 7", x, words(7, 1))
        self.refused("positive finite number", x, words(ABSOLUTE, -1))
        self.refused("positive finite number", x, words(ABSOLUTE, np.nan))
        self.refused("preset 3", x, words(ABSOLUTE, 1, 3))
        self.refused("pads chunks", x, words(RANGE, 1e-3), chunks=(20, 10, 72))
        self.refused("pads chunks", x, words(RANGE, 1e-3), fillvalue=np.nan, fill_time="never")
        self.write("a.h5", x, words(RANGE, 1e-3), chunks=(20, 10, 72), fillvalue=np.nan)
        self.assertLessEqual(abs(self.read("a.h5") - x).max(), 1e-3 * (x.max() - x.min()))

    def test_checksums_of_hdf5_may_follow(self):
        with h5py.File(FOLDER / "sum.h5", "w") as f:
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk((20, 37, 72))
            plist.set_filter(CAE, h5py.h5z.FLAG_OPTIONAL, words(ABSOLUTE, 0.1))
            plist.set_fletcher32()
            d = h5py.h5d.create(f.id, b"x", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((20, 37, 72)), plist)
            d.write(h5py.h5s.ALL, h5py.h5s.ALL, wind())
        self.assertLessEqual(abs(dumped("sum.h5", "/x", "<f4").reshape(20, 37, 72) - wind()).max(), 0.1)

    def test_h5dump_reads_what_h5py_wrote(self):
        for dtype in ("<f4", ">f4", "<f8", ">f8"):
            self.write("dump.h5", wind().astype(dtype), words(ABSOLUTE, 0.1, FAST), chunks=(7, 37, 72))
            little = np.dtype(dtype).newbyteorder("<")
            self.assertEqual(dumped("dump.h5", "/x", little).tobytes(), self.read("dump.h5").astype(little).tobytes())
        self.assertIn("FILTER_ID 458", run("h5dump", "-p", "-H", "dump.h5"))

    def test_h5py_reads_what_h5repack_wrote(self):
        with h5py.File(FOLDER / "plain.h5", "w") as f:
            f.create_dataset("x", data=wind(), chunks=(20, 37, 72))
            f.create_dataset("z", data=wind().astype(">f8"), chunks=(4, 37, 72), compression="gzip")
        ask = ",".join(map(str, words(ABSOLUTE, 0.1)))
        run("h5repack", "-f", f"UD=458,0,4,{ask}", "plain.h5", "packed.h5")
        with h5py.File(FOLDER / "packed.h5") as f:
            for name in "xz":
                self.assertEqual(f[name].id.get_create_plist().get_filter(0)[0], CAE)
                self.assertLessEqual(abs(f[name][()] - wind()).max(), 0.1)
            packed = f["x"][()]
        self.assertLess((FOLDER / "packed.h5").stat().st_size * 4, (FOLDER / "plain.h5").stat().st_size)
        # Other chunks: the words are made anew. And out again.
        run("h5repack", "-l", "x:CHUNK=10x37x36", "packed.h5", "again.h5")
        with h5py.File(FOLDER / "again.h5") as f:
            self.assertEqual(f["x"].id.get_create_plist().get_filter(0)[2][10:], (3, 10, 37, 36))
            self.assertLessEqual(abs(f["x"][()] - packed).max(), 0.1)
        run("h5repack", "-f", "NONE", "packed.h5", "out.h5")
        self.assertEqual(self.read("out.h5").tobytes(), packed.tobytes())

    def ncgen(self, name, attributes):
        values = ("_" if i % 7 == 0 else f"{280 + 20 * np.sin(i * 0.01):.4f}" for i in range(1200))
        (FOLDER / "n.cdl").write_text(
            f"netcdf n {{ dimensions: y = 30 ; x = 40 ; variables: float t(y, x) ; t:_FillValue = -999.f ; {attributes} "
            f"data: t = {', '.join(values)} ; }}"
        )
        run("ncgen", "-4", "-o", name, "n.cdl")

    def ncdump(self, name, variable):
        text = run("ncdump", "-v", variable, "-p", "9,17", name).rpartition(f" {variable} =")[2]
        return np.array([-999 if v == "_" else float(v) for v in re.findall(r"_|-?\d+\.?\d*(?:e[-+]?\d+)?", text)], "f4")

    def test_netcdf_4_writes_with_the_filter_and_h5py_reads(self):
        self.ncgen("plain.nc", "")
        self.ncgen("packed.nc", f't:_ChunkSizes = 30, 40 ; t:_Filter = "458,{",".join(f"{w}U" for w in words(RANGE, 1e-3))}" ;')
        with h5py.File(FOLDER / "packed.nc") as f, h5py.File(FOLDER / "plain.nc") as n:
            number, flags, stored, name = f["t"].id.get_create_plist().get_filter(0)
            self.assertEqual((number, stored[7]), (CAE, 1), "netCDF's fill value is known to the filter")
            x, y = n["t"][()], f["t"][()]
            self.assertTrue((y.ravel()[::7] == -999).all())
            self.assertLessEqual(abs(x - y).max(), 1e-3 * 40)
            self.assertTrue((x != y).any())
        self.assertTrue(np.array_equal(self.ncdump("packed.nc", "t"), y.ravel()))
        self.assertIn("458", run("ncdump", "-h", "-s", "packed.nc"))

    def test_nccopy_takes_the_bound_as_a_double(self):
        self.ncgen("plain.nc", "")
        run("nccopy", "-4", "-c", "y/30,x/40", "-F", "t,458,1U,0.01d,0U", "plain.nc", "copied.nc")
        with h5py.File(FOLDER / "copied.nc") as f, h5py.File(FOLDER / "plain.nc") as n:
            self.assertEqual(f["t"].id.get_create_plist().get_filter(0)[2][:4], words(ABSOLUTE, 0.01))
            self.assertLessEqual(abs(f["t"][()] - n["t"][()]).max(), 0.01)
            y = f["t"][()]
        self.assertTrue(np.array_equal(self.ncdump("copied.nc", "t"), y.ravel()))

    def test_netcdf_reads_what_h5py_wrote(self):
        with h5py.File(FOLDER / "h.nc", "w") as f:
            for name, n in (("t", 20), ("y", 37), ("x", 72)):
                f.create_dataset(name, data=np.arange(n, dtype="f4")).make_scale(name)
            opts = words(ABSOLUTE, 0.1)
            d = f.create_dataset("u", data=wind(), chunks=(20, 37, 72), compression=CAE, compression_opts=opts)
            for i, name in enumerate("tyx"):
                d.dims[i].attach_scale(f[name])
        with h5py.File(FOLDER / "h.nc") as f:
            values = f["u"][()]
        self.assertTrue(np.array_equal(self.ncdump("h.nc", "u"), values.ravel()))

    def test_damage_ends_in_an_error_not_in_a_crash(self):
        self.write("good.h5", wind(), words(ABSOLUTE, 0.1))
        with h5py.File(FOLDER / "good.h5") as f:
            chunk = f["x"].id.read_direct_chunk((0, 0, 0))[1]
        cuts = [chunk[:n] for n in (1, 3, 4, 8, 9, 10, 11, 40, len(chunk) // 2, len(chunk) - 1)]
        bent = [chunk[:n] + bytes([chunk[n] ^ 4]) + chunk[n + 1 :] for n in range(0, len(chunk), len(chunk) // 20)]
        other = [chunk + b"\0", bytes(len(chunk)), b"\xff" * 100]
        for i, bad in enumerate(cuts + bent + other):
            shutil.copy(FOLDER / "good.h5", FOLDER / "bad.h5")
            with h5py.File(FOLDER / "bad.h5", "r+") as f:
                f["x"].id.write_direct_chunk((0, 0, 0), bad)
            said = self.complaint(lambda: self.read("bad.h5"))
            self.assertIn("cae: ", said)
            if i % 10 == 0:
                self.assertIn("unable to print data", run("h5dump", "-d", "/x", "bad.h5", fails=True))

    def test_valgrind_finds_no_misuse_of_memory(self):
        self.write("good.h5", wind()[:4], words(ABSOLUTE, 0.1, FAST))
        shutil.copy(FOLDER / "good.h5", FOLDER / "bad.h5")
        with h5py.File(FOLDER / "bad.h5", "r+") as f:
            chunk = f["x"].id.read_direct_chunk((0, 0, 0))[1]
            f["x"].id.write_direct_chunk((0, 0, 0), chunk[:-1])
        ask = ",".join(map(str, words(ABSOLUTE, 0.2)))
        for command in (["h5dump", "good.h5"], ["h5dump", "bad.h5"], ["h5repack", "-f", f"UD=458,0,4,{ask}", "good.h5", "again.h5"]):
            report = FOLDER / "valgrind.log"
            bad = "bad.h5" in command
            run("valgrind", "-q", "--error-exitcode=9", f"--log-file={report}", *command, fails=bad)
            self.assertEqual(report.read_text(), "", command)

    def test_wrong_words_in_a_file_end_in_an_error(self):
        self.write("good.h5", wind(), words(ABSOLUTE, 0.1))
        good = (FOLDER / "good.h5").read_bytes()
        stored = struct.pack("<14I", *words(ABSOLUTE, 0.1), 1, 1, 0, 0, 0, 0, 3, 20, 37, 72)
        at = good.index(stored)
        for word, value in [(4, 2), (5, 2), (5, 9), (6, 1), (7, 7), (10, 2), (10, 33), (11, 19), (11, 21), (12, 0), (13, 2**32 - 1), (3, 256), (0, 99)]:
            bent = bytearray(good)
            bent[at + 4 * word : at + 4 * word + 4] = struct.pack("<I", value)
            (FOLDER / "bent.h5").write_bytes(bent)
            if word == 6:
                # Byte order alone cannot be told from the values: they come back reversed.
                self.assertEqual(self.read("bent.h5").tobytes(), self.read("good.h5").byteswap().tobytes())
                continue
            self.assertIn("cae: ", self.complaint(lambda: self.read("bent.h5")), (word, value))
            run("h5dump", "-d", "/x", "bent.h5", fails=True)

    def test_networks_are_found_by_digest(self):
        import hashlib

        models = ROOT / "testdata/models"
        decoder, encoder = ((models / f"exact512-{m}.onnx").read_bytes() for m in ("decoder", "encoder"))
        digest = hashlib.sha256(decoder).digest()
        folder = FOLDER / "models"
        folder.mkdir()
        noise = np.random.default_rng(1).random(16384)
        x = (1 + 0.5 * np.sin(np.arange(16384) * 0.01) + 0.02 * noise).astype("f4")
        ask = words(POINTWISE, 0.2, model=digest)
        self.refused("CAE_MODEL_PATH", x, ask)
        (folder / f"{digest.hex()}.onnx").write_bytes(decoder)
        (folder / f"{digest.hex()}.encoder.onnx").write_bytes(encoder)
        os.environ["CAE_MODEL_PATH"] = f"/nowhere:{folder}"
        self.write("model.h5", x, ask)
        self.assertLessEqual((abs(self.read("model.h5") - x) / x).max(), 0.2)
        self.assertEqual(dumped("model.h5", "/x", "<f4").tobytes(), self.read("model.h5").tobytes())
        message = run("h5dump", "--enable-error-stack", "-d", "/x", "model.h5", fails=True, CAE_MODEL_PATH=str(FOLDER))
        self.assertIn(f"model {digest.hex()}.onnx is needed and in no folder of CAE_MODEL_PATH", message)
        message = run("h5dump", "--enable-error-stack", "-d", "/x", "model.h5", fails=True, CAE_MODEL_PATH="")
        self.assertIn("name its folder in CAE_MODEL_PATH", message)
        wrong = FOLDER / "wrong"
        wrong.mkdir()
        (wrong / f"{digest.hex()}.onnx").write_bytes(encoder)
        message = run("h5dump", "--enable-error-stack", "-d", "/x", "model.h5", fails=True, CAE_MODEL_PATH=str(wrong))
        self.assertIn("does not have that digest", message)
        # A model in the file itself, plain and compressed; but not one that is something else.
        for onnx, good in ((decoder, True), (encoder, False)):
            with h5py.File(FOLDER / "model.h5", "a") as f:
                f.pop("cae_models", None)
                f.create_dataset(f"cae_models/{digest.hex()}", data=np.frombuffer(onnx, "u1"), compression="gzip")
            os.environ["CAE_MODEL_PATH"] = ""
            if good:
                expected = np.frombuffer(self.other_process("model.h5"), "<f4")
                self.assertLessEqual((abs(expected - x) / x).max(), 0.2)
                self.assertEqual(dumped("model.h5", "/x", "<f4").tobytes(), expected.tobytes())
                run("valgrind", "-q", "--error-exitcode=9", "h5dump", "-d", "/x", "model.h5")
            else:
                message = run("h5dump", "--enable-error-stack", "-d", "/x", "model.h5", fails=True)
                self.assertIn("does not have that digest", message)
        # A file whose model can only be read with that model.
        with h5py.File(FOLDER / "model.h5", "a") as f:
            del f["cae_models"]
            os.environ["CAE_MODEL_PATH"] = str(folder)
            f.create_dataset(f"cae_models/{digest.hex()}", data=x, compression=CAE, compression_opts=ask, chunks=x.shape)
        message = run("h5dump", "--enable-error-stack", "-d", "/x", "model.h5", fails=True, CAE_MODEL_PATH="")
        self.assertIn(f"model {digest.hex()}.onnx is needed", message)

    def test_threads_of_python(self):
        self.write("many.h5", wind(), words(ABSOLUTE, 0.1, FAST), chunks=(1, 37, 72))
        expected, seen = self.read("many.h5"), []
        with h5py.File(FOLDER / "many.h5") as f:
            threads = [threading.Thread(target=lambda: seen.append(f["x"][()].tobytes())) for _ in range(4)]
            [t.start() for t in threads]
            [t.join() for t in threads]
        self.assertEqual(seen, [expected.tobytes()] * 4)

    def test_two_hdf5_libraries_in_one_process(self):
        """Each is served by its own functions: h5py's own library, and the one that Debian's tools use."""
        import ctypes
        import ctypes.util

        path = ctypes.util.find_library("hdf5_serial") or ctypes.util.find_library("hdf5")
        if not path:
            self.skipTest("no second HDF5 library")
        self.write("two.h5", wind(), words(ABSOLUTE, 0.1))
        h5 = ctypes.CDLL(path, mode=os.RTLD_LOCAL)
        h5.H5Fopen.restype = h5.H5Dopen2.restype = ctypes.c_int64
        h5.H5Fopen.argtypes = [ctypes.c_char_p, ctypes.c_uint, ctypes.c_int64]
        h5.H5Dopen2.argtypes = [ctypes.c_int64, ctypes.c_char_p, ctypes.c_int64]
        h5.H5Dread.argtypes = [ctypes.c_int64] * 5 + [ctypes.c_void_p]
        h5.H5open()
        float_type = ctypes.c_int64.in_dll(h5, "H5T_IEEE_F32LE_g").value
        for _ in range(3):
            file = h5.H5Fopen(str(FOLDER / "two.h5").encode(), 0, 0)
            data = h5.H5Dopen2(file, b"x", 0)
            out = np.empty((20, 37, 72), "<f4")
            self.assertEqual(h5.H5Dread(data, float_type, 0, 0, 0, out.ctypes.data), 0)
            self.assertEqual(out.tobytes(), self.read("two.h5").tobytes())
            h5.H5Dclose(ctypes.c_int64(data))
            h5.H5Fclose(ctypes.c_int64(file))

    def test_the_documentation_runs(self):
        page = (ROOT / "docs/hdf5.md").read_text(encoding="utf-8")
        blocks = re.findall(r"```(python|sh)\n(.*?)```", page, re.S)
        self.assertTrue(any(kind == "python" for kind, _ in blocks))
        shutil.copy(ROOT / "testdata/raw/navy_uwnd_20x37x72.f32", FOLDER)
        shutil.copytree(ROOT / "testdata/models", FOLDER / "testdata/models")
        for kind, text in blocks:
            # What installs or measures is not for here.
            if kind == "python":
                run(sys.executable, "-c", text)
            elif "cargo" not in text and "pip" not in text:
                run("bash", "-euc", text)


if __name__ == "__main__":
    unittest.main()

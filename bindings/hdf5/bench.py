"""Reading through HDF5 against the library on the same frames, and against the SZ3, ZFP and SPERR filters of hdf5plugin in the same file.

    python3 bindings/hdf5/bench.py PLUGIN.so LIBCAE.so [FILE.f32 NZ,NY,NX] [--rel 1e-3] [--chunk 64,128,128] [--repeat 5]

Without a file: a Gaussian random field of 128 x 256 x 256 with the spectrum of turbulence, from a fixed seed. LIBCAE is the C library (libcae_c.so). Everything on one thread, into
buffers that were touched before; the least of interleaved repeats of the processor's time, which other programs disturb least. Needs h5py and hdf5plugin.
"""

import argparse
import ctypes
import os
import pathlib
import shutil
import struct
import sys
import tempfile
import time

import numpy as np

PRESETS = {"balanced": 0, "fast": 1, "small": 2}


def turbulence(shape):
    """A field whose energy falls with the power -5/3 of the wave number."""
    spectrum = np.fft.rfftn(np.random.default_rng(7).standard_normal(shape, "f4"))
    waves = np.meshgrid(*map(np.fft.fftfreq, shape[:-1]), np.fft.rfftfreq(shape[-1]), indexing="ij")
    k = np.sqrt(sum(np.square(w) for w in waves))
    k[0, 0, 0] = np.inf
    return np.fft.irfftn(spectrum * k ** (-11 / 6), s=shape, axes=(0, 1, 2)).astype("f4")


class ArrayOptions(ctypes.Structure):
    """cae_array_options."""

    _fields_ = [
        ("kind", ctypes.c_uint32), ("bound", ctypes.c_double), ("point_bounds", ctypes.c_void_p), ("preset", ctypes.c_uint32),
        ("fill", ctypes.c_void_p), ("dim_names", ctypes.c_void_p), ("attributes", ctypes.c_void_p),
        ("frame_shape", ctypes.c_void_p), ("model", ctypes.c_uint32), ("threads", ctypes.c_size_t),
        ("progress", ctypes.c_void_p), ("progress_user", ctypes.c_void_p), ("fall_back", ctypes.c_bool),
    ]  # fmt: skip


class ReadOptions(ctypes.Structure):
    """cae_read_options."""

    _fields_ = [
        ("limits", ctypes.c_void_p), ("threads", ctypes.c_size_t),
        ("folders", ctypes.c_void_p), ("folder_count", ctypes.c_size_t),
    ]  # fmt: skip


class Library:
    """The library on a file of its own with the same frames."""

    def __init__(self, path):
        self.c = ctypes.CDLL(os.path.abspath(path))
        self.c.cae_error_message.restype = ctypes.c_char_p

    def need(self, status):
        if status:
            sys.exit(self.c.cae_error_message().decode())

    def write(self, path, values, chunk, bound, preset):
        writer, shape = ctypes.c_void_p(), (ctypes.c_uint64 * 3)(*values.shape)
        frame = (ctypes.c_uint64 * 3)(*chunk)
        options = ArrayOptions(kind=1, bound=bound, preset=PRESETS[preset], threads=1)
        options.frame_shape = ctypes.addressof(frame)
        self.need(self.c.cae_create(path.encode(), ctypes.byref(writer)))
        data = values.ctypes.data_as(ctypes.c_void_p)
        self.need(self.c.cae_add_array(writer, b"x", data, 1, shape, ctypes.c_size_t(3), ctypes.byref(options), None))
        self.need(self.c.cae_commit(writer, None))

    def read(self, path, out):
        reader = ctypes.c_void_p()
        self.need(self.c.cae_open(path.encode(), ctypes.byref(ReadOptions(threads=1)), ctypes.byref(reader)))
        data = out.ctypes.data_as(ctypes.c_void_p)
        self.need(self.c.cae_read(reader, ctypes.c_size_t(0), 1, data, ctypes.c_size_t(out.size)))
        self.c.cae_close(reader)


def main():
    numbers = lambda text: tuple(map(int, text.split(",")))  # noqa: E731
    args = argparse.ArgumentParser()
    args.add_argument("plugin"), args.add_argument("library")
    args.add_argument("file", nargs="?"), args.add_argument("shape", nargs="?", type=numbers)
    args.add_argument("--rel", type=float, default=1e-3), args.add_argument("--repeat", type=int, default=5)
    args.add_argument("--chunk", type=numbers, default=(64, 128, 128))
    args = args.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(args.plugin, folder)
        os.environ["HDF5_PLUGIN_PATH"] = folder
        measure(args, pathlib.Path(folder))


def measure(args, folder):
    import h5py
    import hdf5plugin

    x = np.fromfile(args.file, "<f4").reshape(args.shape) if args.file else turbulence((128, 256, 256))
    chunk = tuple(min(c, n) for c, n in zip(args.chunk, x.shape))
    bound = args.rel * float(x.max() - x.min())
    name, library, out = str(folder / "bench.h5"), Library(args.library), np.zeros_like(x)
    low, high = struct.unpack("<2I", struct.pack("<d", bound))
    presets = ["fast", "balanced"]
    filters = {f"cae {p}": {"compression": 458, "compression_opts": (1, low, high, PRESETS[p])} for p in presets}
    filters["SZ3"] = dict(hdf5plugin.SZ3(absolute=bound))
    filters["ZFP"] = dict(hdf5plugin.Zfp(accuracy=bound))
    filters["SPERR"] = dict(hdf5plugin.Sperr(absolute=bound))
    filters["not compressed"] = {}
    print(f"{x.shape} f32, chunks {chunk} ({np.prod(chunk) * 4 / 2**20:.1f} MiB), |x - y| <= {bound:.3g}, HDF5 {h5py.version.hdf5_version}")

    def seconds(action):
        start = time.process_time()
        action()
        return time.process_time() - start

    write, reads, sizes, errors = {}, {}, {}, {}

    def write_one(which):
        with h5py.File(name, "a") as f:
            f.create_dataset(which, data=x, chunks=chunk, **filters[which])

    def read_one(which):
        with h5py.File(name) as f:
            f[which].read_direct(out)

    for which in filters:
        write[which] = seconds(lambda: write_one(which))
        read_one(which)
        errors[which] = float(abs(out - x).max()) / bound
        with h5py.File(name) as f:
            sizes[which] = f[which].id.get_storage_size()
    for preset in presets:
        which, path = f"library {preset}", str(folder / f"{preset}.cae")
        write[which] = seconds(lambda: library.write(path, x, chunk, bound, preset))
        sizes[which] = os.path.getsize(path)
        library.read(path, out)
        errors[which] = float(abs(out - x).max()) / bound
    for _ in range(args.repeat):
        for which in [w for w in filters if not w.startswith("cae")]:
            reads.setdefault(which, []).append(seconds(lambda: read_one(which)))
        for preset in presets:
            a = seconds(lambda: read_one(f"cae {preset}"))
            b = seconds(lambda: library.read(str(folder / f"{preset}.cae"), out))
            reads.setdefault(f"cae {preset}", []).append(a)
            reads.setdefault(f"library {preset}", []).append(b)
    print("| filter | bytes | ratio | write MB/s | read MB/s | largest error / bound |\n|---|---|---|---|---|---|")
    for which, size in sizes.items():
        speed = [x.nbytes / s / 1e6 for s in (write[which], min(reads[which]))]
        print(f"| {which} | {size} | {x.nbytes / size:.2f} | {speed[0]:.0f} | {speed[1]:.0f} | {errors[which]:.3f} |")
    for preset in presets:
        ratio = min(reads[f"cae {preset}"]) / min(reads[f"library {preset}"])
        print(f"{preset}: reading through HDF5 takes {ratio:.3f} of the library's time")


if __name__ == "__main__":
    main()

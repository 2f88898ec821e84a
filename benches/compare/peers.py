"""Today's error-bounded compressors, called as a careful user would.

What they cannot store is charged to them: missing values are replaced by the nearest valid one along the flat array,
and the bzip2-compressed mask is added to their bytes; for point-wise bounds they are given the logarithm of the
magnitudes with an absolute bound (Liang et al. 2018) and charged the bzip2-compressed maps of signs and zeros, except
SZ2, which has a mode of its own: it is charged the map of zeros if it moves one. Neither the filling nor the logarithm
is counted in their time.
"""

import bz2
import io
import lzma
import multiprocessing
import os
import time

import h5py
import hdf5plugin
import numpy as np
import pysz
import zfpy

NAMES = ("sz3", "sz3-lorenzo", "sz2", "zfp", "sperr", "lattice-xz", "lattice-bz2")

# exp and log round: the logarithm's bound is tightened by so much that the way back stays inside.
LOG_MARGIN = 0.9999


def at_most(a, dims):
    """The array with its leading axes merged."""
    return a if a.ndim <= dims else a.reshape((-1,) + a.shape[a.ndim - dims + 1 :])


class Sz3:
    def __init__(self, algorithm):
        self.algorithm = algorithm

    def encode(self, a, tolerance):
        b = at_most(a, 4)
        conf = pysz.szConfig()
        conf.errorBoundMode = pysz.szErrorBoundMode.ABS
        conf.absErrorBound = tolerance
        conf.cmprAlgo = getattr(pysz.szAlgorithm, self.algorithm)
        conf.setDims(*b.shape)
        blob, _ = pysz.sz.compress(b, conf)
        return blob, blob.size

    def decode(self, blob, like):
        out, _ = pysz.sz.decompress(blob, like.dtype, at_most(like, 4).shape)
        return out.reshape(like.shape)


class Zfp:
    def encode(self, a, tolerance):
        blob = zfpy.compress_numpy(at_most(a, 4), tolerance=tolerance)
        return blob, len(blob)

    def decode(self, blob, like):
        return zfpy.decompress_numpy(blob).reshape(like.shape)


class Filter:
    """A compressor that comes as an HDF5 filter: the whole array is one chunk, whose stored size is counted."""

    def __init__(self, options, dims):
        self.options, self.dims = options, dims

    def encode(self, a, tolerance):
        b = at_most(a, max(self.dims))
        if b.ndim not in self.dims:
            raise ValueError(f"takes no {b.ndim}-D arrays")
        file = io.BytesIO()
        with h5py.File(file, "w") as f:
            d = f.create_dataset("x", data=b, chunks=b.shape, compression=self.options(tolerance))
            f.flush()
            size = d.id.get_storage_size()
        return file.getvalue(), size

    def decode(self, blob, like):
        with h5py.File(io.BytesIO(blob), "r") as f:
            return f["x"][...].reshape(like.shape)


class Lattice:
    """Values rounded to multiples of twice the bound, then a general-purpose compressor."""

    def __init__(self, pack, unpack):
        self.pack, self.unpack = pack, unpack

    def encode(self, a, tolerance):
        low = float(a.min())
        q = np.round((a.astype("f8") - low) / (2 * tolerance))
        kind = next(k for k in ("u1", "u2", "u4", "u8") if q.max() <= np.iinfo(k).max)
        blob = self.pack(q.astype("<" + kind).tobytes())
        return (blob, kind, low, tolerance), len(blob)

    def decode(self, stored, like):
        blob, kind, low, tolerance = stored
        q = np.frombuffer(self.unpack(blob), "<" + kind)
        return (q * (2 * tolerance) + low).reshape(like.shape)


def codec(name, pointwise):
    """The compressor, and whether it is given the values themselves even for a point-wise bound."""
    if name == "sz2" and pointwise:
        return Filter(lambda e: hdf5plugin.SZ(pointwise_relative=e), (1, 2, 3, 4)), True
    made = {
        "sz3": lambda: Sz3("INTERP_LORENZO"),
        "sz3-lorenzo": lambda: Sz3("LORENZO_REG"),
        "sz2": lambda: Filter(lambda e: hdf5plugin.SZ(absolute=e), (1, 2, 3, 4)),
        "zfp": Zfp,
        "sperr": lambda: Filter(lambda e: hdf5plugin.Sperr(absolute=e), (2, 3)),
        "lattice-xz": lambda: Lattice(lambda b: lzma.compress(b, preset=9), lzma.decompress),
        "lattice-bz2": lambda: Lattice(bz2.compress, bz2.decompress),
    }
    return made[name](), False


def packed(mask):
    """Bytes of a bit map."""
    return len(bz2.compress(np.packbits(mask).tobytes()))


def filled(problem):
    """The values with the missing ones replaced, and the bytes that the mask costs."""
    valid = problem.valid.ravel()
    if valid.all():
        return problem.values, 0
    if not valid.any():
        raise ValueError("no valid values")
    at = np.where(valid, np.arange(valid.size), 0)
    np.maximum.accumulate(at, out=at)
    first = int(np.argmax(valid))
    at[:first] = first
    return problem.values.ravel()[at].reshape(problem.values.shape), packed(valid)


def logarithm(a, bound):
    """Magnitudes as logarithms, the bound on them, the bytes of the maps, and the way back."""
    zero, negative = a == 0, a < 0
    log = np.log(np.abs(np.where(zero, 1, a)).astype("f8"))
    log[zero] = log[~zero].min() if not zero.all() else 0
    side = (packed(zero) if zero.any() else 0) + (packed(negative) if negative.any() else 0)

    def back(y):
        return np.where(zero, 0, np.exp(y.astype("f8")) * np.where(negative, -1, 1))

    return log, float(np.log1p(bound)) * LOG_MARGIN, side, back


def median_time(run, repeat):
    """What `run` gave last, and the median of its times."""
    times = []
    for _ in range(repeat):
        begin = time.perf_counter()
        out = run()
        times.append(time.perf_counter() - begin)
    return out, float(np.median(times))


def measure(problem, name, repeat, all_cores):
    """Bytes, error and speed of one peer on one array, as fields of a row."""
    full, side = filled(problem)
    peer, natural = codec(name, problem.mode == "pw")
    values, tolerance, back = np.ascontiguousarray(full), problem.tolerance, None
    if natural:
        tolerance = problem.bound
    elif problem.mode == "pw":
        values, tolerance, maps, back = logarithm(full, problem.bound)
        side += maps
    if not tolerance > 0:
        raise ValueError("the range of the values is zero")
    (blob, size), encode = median_time(lambda: peer.encode(values, tolerance), repeat)
    out, decode = median_time(lambda: peer.decode(blob, values), repeat)
    if back:
        out = back(out)
    zero = full == 0
    if natural and out[zero].any():
        out = np.where(zero, 0, out)
        side += packed(zero)
    bytes_in = problem.values.nbytes
    row = {
        "bytes": int(size + side),
        "ratio": round(bytes_in / (size + side), 3),
        "worst": round(problem.worst(out), 4),
        "enc": round(bytes_in / encode / 1e6, 2),
        "dec": round(bytes_in / decode / 1e6, 2),
    }
    if all_cores:
        row["enc_all"] = together(lambda: peer.encode(values, tolerance), bytes_in)
        row["dec_all"] = together(lambda: peer.decode(blob, values), bytes_in)
    return row


def together(run, bytes_in):
    """MB/s of as many processes as there are cores, each with its own copy of the work."""
    context = multiprocessing.get_context("fork")
    cores = len(os.sched_getaffinity(0))
    start, times = context.Barrier(cores), context.SimpleQueue()

    def child():
        start.wait()
        begin = time.perf_counter()
        run()
        times.put(time.perf_counter() - begin)

    children = [context.Process(target=child) for _ in range(cores)]
    for c in children:
        c.start()
    for c in children:
        c.join()
    if any(c.exitcode for c in children):
        return None
    return round(cores * bytes_in / max(times.get() for _ in children) / 1e6, 2)

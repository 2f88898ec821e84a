"""Speed of SZ3's default in memory, one thread, in processor time: what `benches/throughput.rs --busy` is to `cae`.

    target/compare-venv/bin/python benches/compare/sz3_busy.py 1e-3 15 NAME_41x128x128.f32 ..

The bound is relative to max - min. One line a file: name, bound, bytes, MB/s to compress, MB/s to decompress.
"""

import pathlib
import sys
import time

import numpy as np
import pysz


def speed(action, repeat, size):
    action()
    begin = time.thread_time_ns()
    for _ in range(repeat):
        action()
    return size * repeat / (time.thread_time_ns() - begin) * 1e3


def main():
    bound, repeat = float(sys.argv[1]), int(sys.argv[2])
    for path in map(pathlib.Path, sys.argv[3:]):
        shape = [int(n) for n in path.stem.rsplit("_", 1)[1].split("x")]
        values = np.fromfile(path, "<f4" if path.suffix == ".f32" else "<f8").reshape(shape)
        config = pysz.szConfig()
        config.errorBoundMode = pysz.szErrorBoundMode.ABS
        config.absErrorBound = bound * float(values.max() - values.min())
        config.cmprAlgo = pysz.szAlgorithm.INTERP_LORENZO
        config.setDims(*shape)
        coded, _ = pysz.sz.compress(values, config)
        encode = speed(lambda: pysz.sz.compress(values, config), repeat, values.nbytes)
        decode = speed(lambda: pysz.sz.decompress(coded, values.dtype, values.shape), repeat, values.nbytes)
        print(path.name, sys.argv[1], coded.size, f"{encode:.0f} {decode:.0f}", flush=True)


if __name__ == "__main__":
    main()

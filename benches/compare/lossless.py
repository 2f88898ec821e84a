"""Values kept bit for bit: `cae` beside pcodec, one thread, in memory, processor time.

    cargo build --release --features internals --bench throughput
    target/compare-venv/bin/pip install pcodec==1.1.0
    target/compare-venv/bin/python benches/compare/lossless.py target/release/deps/throughput-HASH DATA..

DATA are arrays or folders of them, as `compare.py` takes them. One line an array and compressor; then geometric means: how many times
smaller than the values, how many times smaller than pcodec's, and MB/s of both directions.
"""

import argparse
import json
import re
import subprocess

import numpy as np
from pcodec import ChunkConfig, standalone

import arrays
import rows
from speed import busy

PCODEC = "pcodec"
PRESETS = ["fast", "balanced", "small"]


def of_pcodec(path):
    """Bytes, and MB/s of both directions."""
    values = np.ascontiguousarray(arrays.load(path)).ravel()
    encode, blob = busy(lambda: standalone.simple_compress(values, ChunkConfig()))
    decode, back = busy(lambda: standalone.simple_decompress(blob))
    assert back.tobytes() == values.tobytes(), path
    return len(blob), values.nbytes / encode / 1e6, values.nbytes / decode / 1e6


def of_cae(binary, preset, path):
    command = [binary, "--lossless", "--preset", preset, "--threads", "1", "--repeat", "1", "--busy", path]
    row = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return row["output_bytes"], row["encode_mb_s"], row["decode_mb_s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="the benchmark `throughput`")
    parser.add_argument("data", nargs="+")
    parser.add_argument("--presets", nargs="+", default=PRESETS, choices=PRESETS)
    parser.add_argument("--files", default="", help="regular expression for names")
    args = parser.parse_args()
    measured = {name: [] for name in [PCODEC] + [f"{rows.CAE}{p}" for p in args.presets]}
    sizes = []
    for file, path in arrays.find(args.data):
        if not re.search(args.files, file) or arrays.fault(path):
            continue
        sizes.append(arrays.load(path).nbytes)
        for name, all_of_it in measured.items():
            all_of_it.append(
                of_pcodec(path) if name == PCODEC else of_cae(args.binary, name.removeprefix(rows.CAE), path)
            )
            n, encode, decode = all_of_it[-1]
            print(f"{file:52} {name:14} {n:9} of {sizes[-1]:9} {encode:8.1f} {decode:8.1f} MB/s", flush=True)
    print(f"\n| {len(sizes)} arrays | values / file | {PCODEC} / file | compresses, MB/s | decompresses, MB/s |")
    print("|---|---:|---:|---:|---:|")
    mean = rows.geometric_mean
    for name, own in measured.items():
        ratio = mean([size / n for size, (n, _, _) in zip(sizes, own)])
        smaller = mean([other / n for (n, _, _), (other, _, _) in zip(own, measured[PCODEC])])
        print(f"| {name} | {ratio:.2f} | {smaller:.2f} | {mean([e for _, e, _ in own]):.3g} | {mean([d for _, _, d in own]):.3g} |")


if __name__ == "__main__":
    main()

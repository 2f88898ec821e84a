"""Speed of `cae` beside SZ3's default, in memory, one thread, in processor time: for machines that others use too.

    cargo build --release --features internals --bench throughput
    target/compare-venv/bin/python benches/compare/busy.py target/release/deps/throughput-HASH DATA.. --bounds 1e-2,1e-3 --turns 3

DATA are arrays or folders of them, as `compare.py` takes them. Bounds are relative to max - min. The two take turns, array by array; of the turns the medians count.
One line an array: MB/s of both, in both directions, and how many times as fast as SZ3 `cae` is; then the geometric means.
"""

import argparse
import json
import re
import statistics
import subprocess
import time

import numpy as np

import arrays
import peers
import rows

# Processor seconds of one turn, about: the clock of a thread ticks in milliseconds.
TURN = 0.15


def busy(action):
    """Processor seconds of one call, and what it gave."""
    action()
    count, begin = 0, time.thread_time()
    while (taken := time.thread_time() - begin) < TURN or count == 0:
        out = action()
        count += 1
    return taken / count, out


def of_sz3(problem):
    """MB/s of both directions."""
    values = np.ascontiguousarray(peers.filled(problem)[0])
    peer, _ = peers.codec("sz3", False)
    encode, (blob, _) = busy(lambda: peer.encode(values, problem.tolerance))
    decode, _ = busy(lambda: peer.decode(blob, values))
    return [values.nbytes / t / 1e6 for t in (encode, decode)]


def of_cae(binary, path, problem, bound, preset):
    """MB/s of both directions, and the bytes of the file."""
    command = [binary, "--rel", repr(bound), "--preset", preset, "--threads", "1", "--repeat", "1", "--busy"]
    if problem.fill is not None:
        command += ["--fill", repr(problem.fill)]
    row = json.loads(subprocess.run([*command, path], check=True, capture_output=True).stdout)
    return [row["encode_mb_s"], row["decode_mb_s"]], row["output_bytes"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="the benchmark `throughput`")
    parser.add_argument("data", nargs="+")
    parser.add_argument("--bounds", default="1e-2,1e-3,1e-4")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--files", default="", help="regular expression for names")
    args = parser.parse_args()
    found = [(n, p) for n, p in arrays.find(args.data) if re.search(args.files, n) and not arrays.fault(p)]
    for bound in map(float, args.bounds.split(",")):
        ratios = [], []
        for name, path in found:
            problem = arrays.Problem.of(arrays.load(path), "rel", bound)
            turns = []
            for _ in range(args.turns):
                mine, size = of_cae(args.binary, path, problem, bound, args.preset)
                turns.append([*mine, *of_sz3(problem)])
            encode, decode, sz3_encode, sz3_decode = map(statistics.median, zip(*turns))
            for ratio, pair in zip(ratios, ((encode, sz3_encode), (decode, sz3_decode))):
                ratio.append(pair[0] / pair[1])
            print(
                f"{name:52} {bound:g} {size:8} bytes"
                f"  compress {encode:6.0f} {sz3_encode:6.0f} {ratios[0][-1]:6.2f}x"
                f"  decompress {decode:6.0f} {sz3_decode:6.0f} {ratios[1][-1]:6.2f}x",
                flush=True,
            )
        means = [f"{rows.geometric_mean(r):.2f}x (least {min(r):.2f}x)" for r in ratios]
        print(f"{len(found)} arrays, {bound:g}: compress {means[0]}, decompress {means[1]} of SZ3", flush=True)


if __name__ == "__main__":
    main()

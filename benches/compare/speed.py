"""Speeds of `cae` and of the peers, in memory, one thread, in processor time: for machines that others use too.

    cargo build --release --features internals --bench throughput
    target/compare-venv/bin/python benches/compare/speed.py target/release/deps/throughput-HASH DATA.. --bounds 1e-2,1e-3

DATA are arrays or folders of them, as `compare.py` takes them. Bounds are relative to max - min. All take turns, array by array; of the
turns the medians count. One line an array and compressor; then, for each bound, a table of geometric means: MB/s, how many times as
fast as SZ3's default each is on the arrays that it takes, and the least of these.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import time

# Before the peers are loaded: one that starts threads would have them counted, but be compared with one thread.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

import arrays
import peers
import rows

# Processor seconds of one turn, about: clocks of processor time may tick in milliseconds.
TURN = 0.15

REFERENCE = "sz3"


def busy(action):
    """Processor seconds of one call, and what it gave."""
    begin = time.process_time()
    out = action()
    if (taken := time.process_time() - begin) > TURN:
        return taken, out
    count, begin = 0, time.process_time()
    while (taken := time.process_time() - begin) < TURN or count == 0:
        out = action()
        count += 1
    return taken / count, out


def of_peer(name, problem):
    """MB/s of both directions."""
    values = np.ascontiguousarray(peers.filled(problem)[0])
    peer, _ = peers.codec(name, False)
    encode, (blob, _) = busy(lambda: peer.encode(values, problem.tolerance))
    decode, _ = busy(lambda: peer.decode(blob, values))
    return [values.nbytes / t / 1e6 for t in (encode, decode)]


def of_cae(name, binary, path, problem, bound):
    """MB/s of both directions."""
    preset = name.removeprefix(rows.CAE)
    command = [binary, "--rel", repr(bound), "--preset", preset, "--threads", "1", "--repeat", "1", "--busy"]
    if problem.fill is not None:
        command += ["--fill", repr(problem.fill)]
    row = json.loads(subprocess.run([*command, path], check=True, capture_output=True).stdout)
    return [row["encode_mb_s"], row["decode_mb_s"]]


def measure(names, path, bound, args):
    """MB/s of both directions of each compressor that takes the array."""
    problem = arrays.Problem.of(arrays.load(path), "rel", bound)
    turns = {}
    for _ in range(args.turns):
        for name in names:
            try:
                mine = name.startswith(rows.CAE)
                speeds = of_cae(name, args.binary, path, problem, bound) if mine else of_peer(name, problem)
            except ValueError as e:
                print(f"{path}: {name}: {e}", flush=True)
                continue
            turns.setdefault(name, []).append(speeds)
    return {name: [statistics.median(way) for way in zip(*speeds)] for name, speeds in turns.items()}


def table(bound, names, measured):
    """Lines of Markdown."""
    yield f"| {bound:g} | arrays | compresses, MB/s | times SZ3 | least | decompresses, MB/s | times SZ3 | least |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for name in names:
        both = [(m[name], m[REFERENCE]) for m in measured if name in m]
        cells = []
        for way in (0, 1):
            ratios = [own[way] / other[way] for own, other in both]
            cells.append(f"{rows.geometric_mean([own[way] for own, _ in both]):.3g}")
            cells += [f"{r:.2g}" for r in (rows.geometric_mean(ratios), min(ratios, default=float("nan")))]
        yield f"| {name} | {len(both)} | " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="the benchmark `throughput`")
    parser.add_argument("data", nargs="+")
    parser.add_argument("--bounds", default="1e-2,1e-3,1e-4")
    parser.add_argument("--only", nargs="+", default=[f"{rows.CAE}fast"], help="compressors beside SZ3; `all` for all")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--files", default="", help="regular expression for names")
    args = parser.parse_args()
    everything = [f"{rows.CAE}{p}" for p in ("fast", "balanced", "small")] + list(peers.NAMES)
    wanted = everything if args.only == ["all"] else args.only
    names = [n for n in everything if n in wanted or n == REFERENCE]
    found = [(n, p) for n, p in arrays.find(args.data) if re.search(args.files, n) and not arrays.fault(p)]
    for bound in map(float, args.bounds.split(",")):
        measured = []
        for file, path in found:
            measured.append(measure(names, path, bound, args))
            for name, speeds in measured[-1].items():
                print(f"{file:52} {bound:g} {name:14} {speeds[0]:8.1f} {speeds[1]:8.1f} MB/s", flush=True)
        print("\n".join(table(bound, names, measured)), flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Where learned parts pay: bytes with and without them, models counted.

    python3 benches/learned/learned.py FOLDER.. [--bounds 1e-2,1e-3,1e-4] [--ways small,stencils,network,blocks]
                                       [--hidden 32,16] [--seconds 60] [--cae PATH] [--train PATH] [-o learned.jsonl]

Each folder is a set: raw arrays named NAME_41x128x128.f32 or .f64, of several steps or several variables of one
run, which are put into one archive with one model for them all. Bounds are fractions of each array's range. Ways:

- small: `cae compress --preset small`, no model;
- stencils: `--preset balanced`, whose stencils are fitted by the writer and stored;
- network: a network in the loop, trained on the set by `cae-train --kind predictor` at that bound, `--preset small`;
- blocks: the paper's autoencoder, trained on the set by `cae-train` for that bound.

One line of JSON for each set, bound and way goes to the output, which is read first: what is there is not run again.
A table of all lines is printed at the end. Needs nothing but Python 3.9.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import time

WAYS = ("small", "stencils", "network", "blocks")


def run(command):
    start = time.monotonic()
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return json.loads(done.stdout), time.monotonic() - start


def measure(args, folder, bound, way, scratch):
    """The line of one set, bound and way."""
    files = sorted(p for p in folder.iterdir() if p.suffix in (".f32", ".f64"))
    fill = ["--fill", args.fill] if args.fill else []
    model, trained, seconds = "none", {}, 0.0
    train = [args.train, *files, "--rel", bound, "--seconds", args.seconds, "--seed", 0, "--force", "--json", *fill]
    if way == "network":
        model = scratch / "network.onnx"
        trained, seconds = run([*train, "-o", model, "--kind", "predictor", "--hidden", args.hidden])
    elif way == "blocks":
        model = f"{scratch / 'encoder.onnx'},{scratch / 'decoder.onnx'}"
        trained, seconds = run([*train, "-o", model, "--steps", "all", "--loss", "bound"])
    out = scratch / "out.cae"
    preset = "small" if way in ("small", "network") else "balanced"
    names = ["--preset", preset, "--model", model, "--threads", 1, "--force", "--json", *fill]
    report, packing = run([args.cae, "compress", *files, "-o", out, "--rel", bound, *names])
    start = time.monotonic()
    subprocess.run([args.cae, "verify", out], capture_output=True, check=True)
    reading = time.monotonic() - start
    return {
        "set": folder.name,
        "bound": bound,
        "way": way,
        "input_bytes": sum(p.stat().st_size for p in files),
        "bytes": report["output_bytes"],
        "model_bytes": report["sections"].get("model", 0) if "sections" in report else None,
        "left_out": report.get("model_left_out", False),
        "train_seconds": round(seconds, 1),
        "train": {k: trained.get(k) for k in ("bits_with", "bits_without") if k in trained},
        "compress_seconds": round(packing, 2),
        "verify_seconds": round(reading, 2),
    }


def table(lines):
    found = {(r["set"], r["bound"], r["way"]): r for r in lines}
    print("| set | bound | small | stencils | network | gain | blocks |")
    print("|---|---|---|---|---|---|---|")
    ratios = {}
    for name, bound in sorted({(s, b) for s, b, _ in found}, key=lambda k: (-float(k[1]), k[0])):
        size = {w: found[name, bound, w]["bytes"] for w in WAYS if (name, bound, w) in found}
        gain = ""
        if "small" in size and "network" in size:
            part = size["network"] / min(size["small"], size.get("stencils", size["small"]))
            ratios.setdefault(bound, []).append(part)
            gain = f"{100 * (1 - part):.1f} %"
        cells = [str(size.get(w, "")) for w in WAYS]
        print(f"| {name} | {bound} | {cells[0]} | {cells[1]} | {cells[2]} | {gain} | {cells[3]} |")
    for bound, parts in sorted(ratios.items(), reverse=True):
        mean = math.exp(sum(map(math.log, parts)) / len(parts))
        tenth = sum(p <= 0.9 for p in parts)
        print(f"\nAt {bound}: the network takes {100 * (1 - mean):.1f} % off in the mean, a tenth or more on {tenth} of {len(parts)} sets.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="+", type=pathlib.Path)
    parser.add_argument("--bounds", default="1e-2,1e-3,1e-4")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--hidden", default="32,16")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--fill", help="value that stands for missing")
    parser.add_argument("--cae", default="target/release/cae")
    parser.add_argument("--train", default="target/release/cae-train")
    parser.add_argument("-o", "--output", type=pathlib.Path, default=pathlib.Path("learned.jsonl"))
    args = parser.parse_args()
    lines = []
    if args.output.exists():
        lines = [json.loads(line) for line in args.output.read_text().splitlines()]
    done = {(r["set"], r["bound"], r["way"]) for r in lines}
    failed = False
    with tempfile.TemporaryDirectory() as scratch, args.output.open("a") as out:
        for folder in args.folder:
            for bound in args.bounds.split(","):
                for way in args.ways.split(","):
                    if (folder.name, bound, way) in done:
                        continue
                    try:
                        line = measure(args, folder, bound, way, pathlib.Path(scratch))
                    except RuntimeError as error:
                        print(f"{folder.name} {bound} {way}: {error}", file=sys.stderr)
                        failed = True
                        continue
                    lines.append(line)
                    out.write(json.dumps(line) + "\n")
                    out.flush()
    table(lines)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

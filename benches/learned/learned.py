#!/usr/bin/env python3
"""Where learned parts pay: bytes with and without them, models counted.

    benches/learned/learned.py DATA -o learned.jsonl [--minutes 60] [--seconds S] [--bounds 1e-3,1e-2,1e-4] [--sets NAME..]

DATA holds a folder for each run: raw arrays named NAME_41x128x128.f32 or .f64, of several steps or several variables,
which are put into one archive with one model for them all. Bounds are fractions of each array's range. Ways:

- small: `cae compress --preset small`, no model: the best plan that is not trained;
- stencils: `--preset balanced`, whose stencils are fitted by the writer and stored;
- network: a network in the loop, trained on the run by `cae-train --kind predictor` at that bound, `--preset balanced`;
- blocks: the paper's autoencoder, trained on the run by `cae-train` for that bound, its weights in 8 bits.

A case is left out, and the line says why, where its result cannot matter: a network where two fifths of the file without
one, as much as any network has saved, is less than the smallest model; an autoencoder where its decoder alone is larger
than that file, or where at a looser bound the whole was half as large again.

One line of JSON for each run, bound and way goes to the output, which is read first: what is there, by this build, is not
run again. After --minutes no new case is begun. The table is printed at the end. Needs nothing but Python 3.9.
"""

import argparse
import hashlib
import json
import math
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT / "benches/compare"))

from processes import Failed, call  # noqa: E402

WAYS = ("small", "stencils", "network", "blocks")

# Those of the measuring set that have several steps or several variables, smallest first.
RUNS = (
    "plot3d_bluntfin", "nek_eddy", "nemo_tos", "hadley_A1B", "canesm2_daily", "mitgcm_fizhi", "pde_nls", "wrf_katrina",
    "sea_ice", "era5_members", "mitgcm_lev", "coads", "md_adk_dims", "eraint", "cth_impact", "isabel_wind",
    "heated_cylinder", "navy_winds", "viscous_fingers",
)

# About what networks in the loop save at most, and the bytes of the smallest.
MOST_SAVED, SMALLEST_NETWORK = 0.4, 1800
# Weights of the decoder 1-8-64-512, a byte each.
DECODER = 8 + 8 + 8 * 64 + 64 + 64 * 512 + 512
# An autoencoder that is so many times larger at one bound is not tried at tighter ones.
HOPELESS = 1.5


class Lines:
    """What was measured, kept in a file as it comes."""

    def __init__(self, path, build):
        self.path, self.build, self.found = path, build, {}
        for text in path.read_text().splitlines() if path.exists() else ():
            line = json.loads(text)
            if line.get("build") == build:
                self.found[line["set"], line["bound"], line["way"]] = line

    def add(self, line):
        self.found[line["set"], line["bound"], line["way"]] = line
        with self.path.open("a") as out:
            out.write(json.dumps({**line, "build": self.build}) + "\n")

    def bytes(self, *key):
        return self.found.get(key, {}).get("bytes")


def hopeless(lines, name, bound, way):
    """Why a case cannot matter, or None."""
    small = lines.bytes(name, bound, "small") or lines.bytes(name, bound, "stencils")
    if way == "network" and small * MOST_SAVED < SMALLEST_NETWORK:
        return f"{small} bytes leave no room for a model"
    if way == "blocks":
        if small < DECODER:
            return f"the decoder's {DECODER} weights alone are larger"
        for other in (b for s, b, w in lines.found if (s, w) == (name, way) and float(b) > float(bound)):
            there = lines.bytes(name, other, "blocks")
            if there and there > HOPELESS * lines.bytes(name, other, "small"):
                return f"{there / lines.bytes(name, other, 'small'):.1f} times as large at {other}"
    return None


def measure(args, files, bound, way, scratch):
    """Bytes and processor seconds of one case."""
    fill = ["--fill", args.fill] if args.fill else []
    model, trained, training = "none", {}, 0.0
    train = [args.train, *files, "--rel", bound, "--seed", 0, "--force", "--json", *fill]
    train += ["--seconds", args.seconds] if args.seconds else []
    if way == "network":
        model = scratch / "network.onnx"
        text, training = call([*train, "-o", model, "--kind", "predictor", "--hidden", args.hidden])
        trained = json.loads(text)
    elif way == "blocks":
        model = f"{scratch / 'encoder.onnx'},{scratch / 'decoder.onnx'}"
        _, training = call([*train, "-o", model, "--steps", "all", "--loss", "bound", "--weights", "i8"])
    out = scratch / "out.cae"
    preset = "small" if way == "small" else "balanced"
    tail = ["--preset", preset, "--model", model, "--threads", 1, "--force", "--json", *fill]
    text, packing = call([args.cae, "compress", *files, "-o", out, "--rel", bound, *tail])
    report = json.loads(text)
    _, reading = call([args.cae, "verify", out])
    return {
        "input_bytes": sum(p.stat().st_size for p in files),
        "bytes": report["output_bytes"],
        "model_bytes": report["sections"].get("model", 0),
        "left_out": report.get("model_left_out", False),
        "train_seconds": round(training, 1),
        "train": {k: trained[k] for k in ("bits_with", "bits_without", "steps") if k in trained},
        "compress_seconds": round(packing, 2),
        "verify_seconds": round(reading, 2),
    }


def case(args, lines, name, bound, way, scratch):
    if (name, bound, way) in lines.found:
        return True
    files = sorted(p for p in (args.data / name).iterdir() if p.suffix in (".f32", ".f64"))
    why = hopeless(lines, name, bound, way)
    begin = time.monotonic()
    try:
        found = {"skipped": why} if why else measure(args, files, bound, way, scratch)
    except Failed as error:
        print(f"{name} {bound} {way}: {error}", file=sys.stderr, flush=True)
        return False
    lines.add({"set": name, "bound": bound, "way": way, **found})
    print(f"{name} {bound} {way}: {why or found['bytes']}, {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return True


def table(lines):
    """A line a run, in each cell one figure a bound: bytes, how much a network takes off `balanced` and adds to `small`, and
    how many times the size an autoencoder's file is. 0: the model was left out, or has no room; x: hopeless; -: not measured."""
    bounds = sorted({b for _, b, _ in lines.found}, key=float, reverse=True)
    print(f"| run | `small`, {' / '.join(bounds)} | stencils | network | against `small` | autoencoder |")
    print("|---|---|---|---|---|---|")
    parts = {(b, w): [] for b in bounds for w in ("stencils", "small")}

    def against(name, bound, way, ways=("small", "stencils")):
        of = lines.found.get((name, bound, way))
        plain = [n for w in ways if (n := lines.bytes(name, bound, w))]
        return of.get("bytes", 0) / min(plain) if of and plain else None

    def network(name, bound, other):
        part = against(name, bound, "network", [other])
        if part is not None:
            parts[bound, other].append(part or 1.0)
        left_out = part == 0 or lines.found.get((name, bound, "network"), {}).get("left_out")
        return "-" if part is None else "0" if left_out else f"{100 * (part - 1):+.1f} %"

    def blocks(name, bound):
        part = against(name, bound, "blocks")
        return "-" if part is None else f"{part:.1f}" if part else "x"

    for name in sorted({n for n, _, _ in lines.found}):
        sizes = [[str(lines.bytes(name, b, w) or "-") for b in bounds] for w in ("small", "stencils")]
        cells = [*sizes, *([network(name, b, w) for b in bounds] for w in ("stencils", "small"))]
        cells.append([blocks(name, b) for b in bounds])
        print(f"| {name} | {' | '.join(' / '.join(c) for c in cells)} |")
    for (bound, other), found in parts.items():
        if found:
            mean = math.exp(sum(map(math.log, found)) / len(found))
            tenth = sum(p <= 0.9 for p in found)
            print(
                f"\nAt {bound}, against {other}: with a network {100 * (mean - 1):+.1f} % in the mean, a tenth or more smaller "
                f"on {tenth} of {len(found)} runs."
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", help="some of the runs (default: those named in this file that are there)")
    parser.add_argument("--bounds", default="1e-3,1e-2,1e-4", help="in the order of measuring (default: %(default)s)")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--hidden", default="32,16")
    parser.add_argument("--seconds", type=float, help="of training, for each case (default: the trainer's number of steps, the same on every machine)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="after which no new case is begun")
    parser.add_argument("--fill", help="value that stands for missing")
    parser.add_argument("--cae", type=Path, default=ROOT / "target/release/cae")
    parser.add_argument("--train", type=Path, default=ROOT / "target/release/cae-train")
    parser.add_argument("-o", "--output", type=Path, default=Path("learned.jsonl"))
    args = parser.parse_args()
    build = hashlib.sha256(args.cae.read_bytes() + args.train.read_bytes()).hexdigest()[:12]
    lines = Lines(args.output, build)
    names = args.sets or [n for n in RUNS if (args.data / n).is_dir()]
    ways = [w for w in WAYS if w in args.ways.split(",")]
    bounds = args.bounds.split(",")
    # Autoencoders last and from the loosest bound on, so that the others need not wait, nor run in vain.
    cases = [(n, b, w) for b in bounds for n in names for w in ways if w != "blocks"]
    cases += [(n, b, "blocks") for b in sorted(bounds, key=float, reverse=True) for n in names if "blocks" in ways]
    failed, begin = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        for i, (name, bound, way) in enumerate(cases):
            if time.monotonic() - begin > 60 * args.minutes:
                print(f"the time is over: {len(cases) - i} of {len(cases)} cases are left for the next run", file=sys.stderr)
                break
            # What a case is judged hopeless by.
            plain = "small" if "small" in ways else "stencils"
            if way != plain:
                case(args, lines, name, bound, plain, Path(scratch))
            if way == plain or (name, bound, plain) in lines.found:
                failed += not case(args, lines, name, bound, way, Path(scratch))
    table(lines)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

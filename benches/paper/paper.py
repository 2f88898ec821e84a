#!/usr/bin/env python3
"""Reruns the experiments of the paper on its sixteen sets with `cae train`, `cae` and the results of today's peers.

    cargo build --release && cargo build --release -p cae-train
    benches/paper/paper.py DATA --peers-from peers.jsonl --out rows.jsonl --report report.md [--quick]

DATA holds paper/NAME/train_N.f64 and test_N.f64 (raw little-endian, one dimension) and paper_transfer/NAME/VARIABLE_N.f64.
peers.jsonl holds a JSON object a line: file (relative to DATA), mode "pointwise", bound, peer, bytes, enc, dec; `benches/compare`
makes one. Rows are appended as they come; a later run skips what is there. Needs nothing beyond Python 3.11.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import write

BOUNDS = (0.1, 0.01, 0.001)
ROOT = Path(__file__).resolve().parents[2]

PARTS = ("train", "plan", "features", "ratio", "reuse", "losses", "small")

# The paper's own way of training, as far as it says: random weights, sigmoids everywhere, squared error, a fixed rate.
PAPER = "--init random --output-activation sigmoid --latent-activation sigmoid --loss mse --lr 1e-3 --decay 1 --weight-decay 0 --plain".split()


class Bench:
    def __init__(self, args):
        self.args = args
        self.quick = args.quick
        self.rows = {}
        if args.out.exists():
            for line in args.out.read_text().splitlines():
                row = json.loads(line)
                self.rows[tuple(row["key"])] = row
        self.out = args.out.open("a")
        self.models = Path(tempfile.mkdtemp())

    def row(self, *key, make):
        """The row of this key, made and kept if it is not there yet."""
        if key not in self.rows:
            begin = time.monotonic()
            row = {"key": list(key), **make()}
            print(f"{' '.join(map(str, key))}: {time.monotonic() - begin:.1f} s", file=sys.stderr, flush=True)
            self.rows[key] = row
            self.out.write(json.dumps(row) + "\n")
            self.out.flush()
        return self.rows[key]

    def run(self, *command):
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
        return done.stdout

    def epochs(self, blocks):
        """Epochs that make about as many steps of 64 blocks as asked."""
        return max(10, (self.args.steps or (3_000 if self.quick else 20_000)) // -(-blocks // 64))

    def pair(self, tag):
        return f"{self.models / tag}-encoder.onnx,{self.models / tag}-decoder.onnx"

    def train(self, tag, inputs, judge, *extra, epochs=None):
        blocks = sum(p.stat().st_size for p in inputs) // 8 // 512
        command = [self.args.cae_train, *inputs, "-o", self.pair(tag), "--json", "--force", *extra]
        if "--seconds" not in extra:
            command += ["--epochs", self.epochs(blocks) if epochs is None else epochs]
        if judge:
            command += ["--judge", judge]
        report = json.loads(self.run(*command))
        del report["encoder"], report["decoder"]["file"]
        return report

    def compress(self, path, bound, *extra):
        archive, back = self.models / "x.cae", self.models / "x.f64"
        command = ["compress", path, "-o", archive, "--pw", bound, "--threads", 1, "--json", "--force", *extra]
        report = json.loads(self.run(self.args.cae, *command))
        decoded = json.loads(
            self.run(self.args.cae, "decompress", archive, "-o", back, "--threads", 1, "--json", "--force")
        )
        assert report["max_error_over_bound"] <= 1, path
        keys = ("input_bytes", "output_bytes", "sections", "seconds", "max_error_over_bound")
        return {k: report[k] for k in keys} | {"decode_seconds": decoded["seconds"]}


def halves(folder):
    return next(folder.glob("train_*.f64")), next(folder.glob("test_*.f64"))


def sets(bench):
    names = sorted(p.name for p in (bench.args.data / "paper").iterdir() if p.is_dir())
    return names[:: 4] if bench.quick else names


WAYS = {
    "ours": [],
    "mse": ["--loss", "mse"],
    "bound 0.1": ["--loss", "bound", "--pw", "0.1"],
    "bound 0.01": ["--loss", "bound", "--pw", "0.01"],
    "paper": PAPER,
    "linear": ["--linear"],
}


def accuracy(bench, name, way):
    """Figures 3, 4, 11, 13, 14 and 5: a model of a set, and what it makes of its other half."""
    learn, judge = halves(bench.args.data / "paper" / name)

    def make():
        report = bench.train("set", [learn], judge, *WAYS[way])
        if way != "linear":
            report["archives"] = {str(b): bench.compress(judge, b, "--model", bench.pair("set")) for b in BOUNDS}
        return report

    bench.row("train", name, way, make=make)


def features(bench, name):
    """Figures 7 and 8."""
    _, judge = halves(bench.args.data / "paper" / name)

    def make():
        found = json.loads(bench.run(bench.args.cae, "advise", judge, "--pw", 0.01, "--json"))["arrays"][0]
        return {k: v for k, v in found.items() if k not in ("file", "advice")}

    bench.row("features", name, make=make)


def plans(bench, name, preset):
    """What `cae` makes of a set without any model."""
    _, judge = halves(bench.args.data / "paper" / name)
    for bound in BOUNDS:
        bench.row("plan", name, preset, bound, make=lambda: bench.compress(judge, bound, "--preset", preset))


def ratios(bench):
    """Figure 12: error against theoretical ratio, and against the number of layers."""
    for name in ("vortex", "sedov_temp", "eddy")[: 1 if bench.quick else 3]:
        learn, judge = halves(bench.args.data / "paper" / name)
        epochs = 100 if bench.quick else 500
        for ratio in (128, 256, 512, 1024, 2048, 4096, 8192, 16384):
            bench.row("ratio", name, ratio, make=lambda: bench.train("r", [learn], judge, "--ratio", ratio, epochs=epochs))
        for layers in (3, 5, 7, 9, 11):
            make = lambda: bench.train("r", [learn], judge, "--layers", layers, epochs=epochs)
            bench.row("layers", name, layers, make=make)


def reuse(bench):
    """Figure 15: a model of one variable or of a few steps, used for others."""
    data = bench.args.data
    others = [
        ("maclaurin-pres", "maclaurin", "pres_training_*.f64", "pres_testing_*.f64"),
        ("sedov_temp", "sedov", "pres_training_*.f64", "pres_testing_*.f64"),
        ("2d_annulus", "2d_annulus", "temp_temp1_*.f64", "temp_temp2_*.f64"),
        ("2d_annulus", "2d_annulus", "velx_velx1_*.f64", "velx_velx2_*.f64"),
        ("2d_annulus", "2d_annulus", "vely_vely1_*.f64", "vely_vely2_*.f64"),
    ]
    for source, folder, learn, judge in others[: 2 if bench.quick else 5]:
        folder = data / "paper_transfer" / folder
        learn, judge = next(folder.glob(learn)), next(folder.glob(judge))
        known, _ = halves(data / "paper" / source)
        label = f"{source} for {judge.stem}"

        def own():
            return bench.train("own", [learn], judge)

        def used():
            bench.train("known", [known], None)
            return bench.train("used", [learn], judge, "--from", bench.pair("known"), epochs=0)

        def continued():
            bench.train("known", [known], None)
            blocks = learn.stat().st_size // 8 // 512
            epochs = max(1, bench.epochs(blocks) // 20)
            return bench.train("used", [learn], judge, "--from", bench.pair("known"), epochs=epochs)

        bench.row("reuse", label, "its own model", make=own)
        bench.row("reuse", label, "the other's model", make=used)
        bench.row("reuse", label, "the other's model, a twentieth of the epochs", make=continued)
    for name in sets(bench)[: 2 if bench.quick else 16]:
        learn, judge = halves(data / "paper" / name)
        for part in ("1%", "10%"):
            bench.row("steps", name, part, make=lambda: bench.train("s", [learn], None, "--steps", part))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path)
    p.add_argument("--cae", default=ROOT / "target/release/cae")
    p.add_argument("--cae-train", default=ROOT / "target/release/cae-train")
    p.add_argument("--peers-from", type=Path, required=True)
    p.add_argument("--out", type=Path, default=Path("paper.jsonl"))
    p.add_argument("--report", type=Path, help="write the tables there")
    p.add_argument("--quick", action="store_true", help="every fourth set, 3,000 steps of training")
    p.add_argument("--steps", type=int, help="steps of training; rows of different numbers belong into different files")
    p.add_argument("--parts", nargs="*", default=PARTS, choices=PARTS, help="some of the experiments")
    args = p.parse_args()
    bench = Bench(args)
    names = sets(bench)
    parts = {
        "train": lambda: [accuracy(bench, name, "ours") for name in names],
        "plan": lambda: [plans(bench, name, "balanced") for name in names],
        "features": lambda: [features(bench, name) for name in names],
        "ratio": lambda: ratios(bench),
        "reuse": lambda: reuse(bench),
        "losses": lambda: [accuracy(bench, name, way) for name in names for way in WAYS],
        "small": lambda: [plans(bench, name, "small") for name in names],
    }
    for part in args.parts:
        parts[part]()
    if args.report:
        peers = [json.loads(line) for line in args.peers_from.read_text().splitlines()]
        args.report.write_text(write(bench.rows, peers))


if __name__ == "__main__":
    main()

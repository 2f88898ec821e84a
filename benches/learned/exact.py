#!/usr/bin/env python3
"""What exact arithmetic costs: archives with float block autoencoders against exact ones, on the paper's sixteen sets.

    cargo build --release && cargo build --release -p cae-train
    benches/learned/exact.py DATA [--sets vortex swept ..] [--epochs 1000]

DATA holds paper/NAME/train_N.f64 and test_N.f64. Each set's first half is learned from, the other archived at point-wise bounds with
the float pair of `cae train`, with the pair of `cae train --exact` for the same steps, and with what `cae model exact` makes of
the float pair, calibrated on the first half at the same bound. Bytes of everything but the model, and with it. Every archive is
verified against its values. Needs nothing beyond Python 3.11.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOUNDS = ("1e-1", "1e-2", "1e-3")


class Bench:
    def __init__(self, args, folder):
        self.args = args
        self.folder = folder

    def run(self, *command):
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
        return done.stdout

    def pair(self, tag):
        return f"{self.folder / tag}-encoder.onnx,{self.folder / tag}-decoder.onnx"

    def train(self, tag, learn, judge, *extra):
        command = [self.args.cae_train, learn, "--judge", judge, "-o", self.pair(tag), "--force", "--json"]
        if self.args.epochs:
            command += ["--epochs", self.args.epochs]
        return json.loads(self.run(*command, *extra))

    def convert(self, learn, bound):
        said = self.run(
            self.args.cae, "model", "exact", self.pair("float"), self.pair("converted"), "--calibrate", learn, "--pw", bound,
            "--force", "--json"
        )
        return json.loads(said)

    def check(self, tag):
        """`cae model check` must say that the decoder is exact."""
        report = json.loads(self.run(self.args.cae, "model", "check", self.pair(tag).split(",")[1], "--json"))
        report = report.get("models", [report])[0]
        assert report["exact"] is True, report

    def compress(self, tag, judge, bound):
        archive = self.folder / "x.cae"
        command = ["compress", judge, "-o", archive, "--pw", bound, "--model", self.pair(tag), "--threads", 1, "--force", "--json"]
        report = json.loads(self.run(self.args.cae, *command))
        self.run(self.args.cae, "verify", archive, "--against", judge)
        model = report["sections"]["model"]
        return report["output_bytes"] - model, model


def change(a, b):
    return f"{100 * (a / b - 1):+.1f} %"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path)
    p.add_argument("--sets", nargs="*", help="some of the sixteen")
    p.add_argument("--cae", default=ROOT / "target/release/cae")
    p.add_argument("--cae-train", default=ROOT / "target/release/cae-train")
    p.add_argument("--out", type=Path, help="write a JSON object a set and bound there")
    p.add_argument("--epochs", help="of both trainings; else the trainer's own number")
    args = p.parse_args()
    names = args.sets or sorted(d.name for d in (args.data / "paper").iterdir() if d.is_dir())
    rows = []
    print("| set | bound | float | `--exact` | of all | of the rest | `model exact` | of all | of the rest |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, Path(folder))
        for name in names:
            learn, judge = (next((args.data / "paper" / name).glob(f"{half}_*.f64")) for half in ("train", "test"))
            errors = bench.train("float", learn, judge), bench.train("exact", learn, judge, "--exact")
            print(f"{name}: judged {errors[0]['judge_error']:.4f}, {errors[1]['exact_judge_error']:.4f}", file=sys.stderr)
            bench.check("exact")
            for bound in BOUNDS:
                bench.convert(learn, bound)
                bench.check("converted")
                sizes = [bench.compress(tag, judge, bound) for tag in ("float", "exact", "converted")]
                rows.append({"set": name, "bound": bound, "bytes": sizes})
                (float_rest, float_model), *others = sizes
                cells = [name, bound, f"{float_rest} + {float_model}"]
                for rest, model in others:
                    cells += [f"{rest} + {model}", change(rest + model, float_rest + float_model), change(rest, float_rest)]
                print(f"| {' | '.join(cells)} |", flush=True)
                if args.out:
                    args.out.open("a").write(json.dumps(rows[-1]) + "\n")
    for bound in BOUNDS:
        some = [r["bytes"] for r in rows if r["bound"] == bound]
        mean = lambda of: change(math.exp(sum(math.log(of(s)) for s in some) / len(some)), 1)
        cells = ["geometric mean", bound, "", ""]
        for i in (1, 2):
            cells += [mean(lambda s: sum(s[i]) / sum(s[0])), mean(lambda s: s[i][0] / s[0][0])] + ([""] if i == 1 else [])
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

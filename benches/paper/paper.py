#!/usr/bin/env python3
"""Reruns the experiments of the paper on its sixteen sets with `cae train`, `cae` and today's peers.

    cargo build --release && cargo build --release -p cae-train
    benches/paper/paper.py DATA --out FOLDER [--quick] [--jobs 2]

DATA holds paper/NAME/train_N.f64 and test_N.f64 (raw little-endian, one dimension), paper_transfer/NAME/VARIABLE_N.f64
and gridded runs NAME/VARIABLE_8x16x32.f32; experiments whose data are not there are left out and named. FOLDER gets
rows.jsonl, the peers' rows, trained models, report.md and its plots; a later run goes on from what is there (rows of
another build or number of steps are made anew). Times are processor seconds. The peers and matplotlib are installed
from PyPI into a virtual environment on first use, as by `benches/compare`.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(1, str(ROOT / "benches/compare"))

PARTS = ("plans", "features", "models", "accuracy", "lengths", "peers", "ratios", "reuse", "losses", "pictures")


def measure(bench, parts):
    import experiments as e
    import pictures

    names = e.sets(bench)
    there = [s for s in e.SERIES if list(bench.data.glob(f"{s}_*"))]
    work = {
        "plans": lambda: (e.start(bench), bench.each(partial(e.plan, bench), names)),
        "models": lambda: bench.each(partial(e.models, bench), names),
        "accuracy": lambda: bench.each(partial(e.accuracy, bench), names),
        "features": lambda: bench.each(partial(e.features, bench), names),
        "ratios": lambda: bench.each(partial(e.ratios, bench), names),
        "reuse": lambda: (
            bench.each(partial(e.variables, bench), e.VARIABLES[:: 4 if bench.quick else 1]),
            bench.each(partial(e.steps, bench), there[:: 2 if bench.quick else 1]),
            bench.each(partial(e.shares, bench), names),
        ),
        "lengths": lambda: bench.each(partial(e.lengths, bench), names),
        "peers": lambda: bench.each(partial(e.peers, bench), [names]),
        "pictures": lambda: bench.each(partial(pictures.measure, bench), pictures.fields(bench)),
        "losses": lambda: bench.each(partial(e.losses, bench), names),
    }
    for part in parts:
        print(f"-- {part}", file=sys.stderr, flush=True)
        work[part]()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path)
    p.add_argument("--out", type=Path, required=True, help="folder for rows, models, report and plots")
    p.add_argument("--cae", type=Path, default=ROOT / "target/release/cae")
    p.add_argument("--cae-train", type=Path, default=ROOT / "target/release/cae-train")
    p.add_argument("--steps", type=int, help="steps of a full training (default: 20,000, quick 500)")
    p.add_argument("--quick", action="store_true", help="every fifth set, fewer cases and steps: minutes")
    p.add_argument("--jobs", type=int, default=2, help="how many programs run at a time (default: %(default)s)")
    p.add_argument("--any-build", action="store_true", help="take rows of other builds, too; the report says so")
    p.add_argument("--parts", nargs="*", default=PARTS, choices=PARTS, help="some of the experiments; none: report only")
    args = p.parse_args()
    import environment

    environment.enter(__file__, True)
    import plots
    import tables
    from bench import Bench
    from results import Results

    args.out.mkdir(parents=True, exist_ok=True)
    steps = args.steps or (500 if args.quick else 20_000)
    bench = Bench(args.data.resolve(), args.out.resolve(), args.cae, args.cae_train, steps, args.quick, args.jobs, args.any_build)
    measure(bench, args.parts)
    results = Results(bench)
    drawn = plots.draw(results, args.out)
    (args.out / "report.md").write_text(tables.report(results, drawn))
    print(f"{args.out / 'report.md'} is written", file=sys.stderr)
    return f"{len(bench.failed)} experiments failed" if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())

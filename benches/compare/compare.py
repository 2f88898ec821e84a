#!/usr/bin/env python3
"""Runs cae and today's error-bounded compressors side by side on folders of arrays.

    benches/compare/compare.py run FOLDER --mode rel --bounds 1e-2,1e-3 --markdown table.md --plot plot.svg
    benches/compare/compare.py score DATA --peers-from earlier.jsonl
    benches/compare/compare.py report rows.jsonl --markdown table.md

Arrays are .npy files, or raw little-endian ones named NAME_d0xd1x...f32 or .f64. On first use the peers are installed
from PyPI into a virtual environment under target/. Results are appended to a JSON-lines file; --resume skips what it
holds (rows of another build of cae are measured again). Ratios count every byte that decoding needs; every array that
cae decodes is checked here, point by point, without allowance for rounding. docs/comparison.md says what is charged
to whom and how times are taken.
"""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys

import environment


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = p.add_subparsers(dest="verb", required=True)

    output = argparse.ArgumentParser(add_help=False)
    output.add_argument("--markdown", metavar="FILE", help="also write the report there")
    output.add_argument("--plot", metavar="FILE", help="draw ratio against speed, .png or .svg")
    output.add_argument("--rows", action="store_true", help="put every single result into the report")

    measuring = argparse.ArgumentParser(add_help=False)
    measuring.add_argument("paths", nargs="+", metavar="PATH", help="folders of arrays, or arrays")
    measuring.add_argument("--presets", default="fast,balanced,small", help="cae's (default: all)")
    measuring.add_argument("--only", nargs="+", metavar="NAME", help="cae, or peers by name (default: all)")
    measuring.add_argument("--files", metavar="REGEX", help="only arrays whose name matches")
    measuring.add_argument("--max-values", type=float, default=float("inf"), metavar="N", help="leave out larger arrays")
    measuring.add_argument("--jobs", type=int, default=1, help="how much to run at a time; above 1 the speeds suffer")
    measuring.add_argument("--repeat", type=int, default=1, help="times are medians of so many")
    measuring.add_argument("--resume", action="store_true", help="skip what --out holds")
    measuring.add_argument("--out", default="compare.jsonl", help="where results are kept (default: %(default)s)")
    measuring.add_argument("--peers-from", metavar="FILE", help="take the peers' results from an earlier run")
    measuring.add_argument("--all-cores", action="store_true", help="time with all cores as well")
    measuring.add_argument("--in-memory", action="store_true", help="time cae by benches/throughput.rs: no process, no files")
    measuring.add_argument("--cae", default=os.path.join(environment.ROOT, "target", "release", "cae"), help="the binary (default: this tree's)")
    measuring.add_argument("--throughput", metavar="PATH", help="the built benches/throughput.rs (default: built when needed)")

    run = verbs.add_parser("run", parents=[measuring, output], help="measure, then report")
    run.add_argument("--mode", choices=("rel", "pw", "abs"), default="rel")
    run.add_argument("--bounds", type=numbers, default=[1e-2, 1e-3, 1e-4], help="default: 1e-2,1e-3,1e-4")
    verbs.add_parser("score", parents=[measuring, output],
                     help="fields outside paper*/ at rel 1e-2, 1e-3, 1e-4 and paper/*/test_* at pw 0.1, 0.01, 0.001")
    report = verbs.add_parser("report", parents=[output], help="report on earlier results")
    report.add_argument("results", nargs="+", metavar="ROWS.jsonl")
    return p.parse_args()


def numbers(text):
    return [float(v) for v in text.split(",")]


def work_of(args):
    """What is to be measured: (name, path, mode, bound) and the compressors."""
    import arrays

    found = []
    for name, path in arrays.find(args.paths):
        if args.files and not re.search(args.files, name):
            continue
        if why := arrays.fault(path):
            print(f"{name} is left out: {why}", file=sys.stderr)
        else:
            found.append((name, path))
    found = [f for f in found if os.path.getsize(f[1]) / (4 if f[1].endswith("f32") else 8) <= args.max_values]
    if args.verb == "run":
        cases = [(*f, args.mode, b) for b in args.bounds for f in found]
    else:
        fields = [f for f in found if not f[0].startswith("paper")]
        papers = [f for f in found if re.match(r"paper/[^/]+/test_", f[0])]
        cases = [(*f, "rel", b) for b in (1e-2, 1e-3, 1e-4) for f in fields]
        cases += [(*f, "pw", b) for b in (0.1, 0.01, 0.001) for f in papers]
    if not cases:
        sys.exit("no arrays found: they are .npy files, or named NAME_d0xd1x...f32 or .f64")
    return cases


def worker(connection, peer, path, mode, bound, repeat, all_cores):
    """In a process of its own: some peers crash on some arrays."""
    import arrays
    import peers

    try:
        problem = arrays.Problem.of(arrays.load(path), mode, bound)
        connection.send(peers.measure(problem, peer, repeat, all_cores))
    except Exception as e:
        connection.send({"error": f"{e}"[:200] or type(e).__name__})


def peer_row(context, peer, path, mode, bound, args):
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=worker, args=(send, peer, path, mode, bound, args.repeat, args.all_cores))
    child.start()
    send.close()
    try:
        return receive.recv()
    except EOFError:
        child.join()
        return {"error": f"crashed, exit code {child.exitcode}"}
    finally:
        child.join()


def cae_row(preset, path, mode, bound, args):
    import arrays
    import command

    try:
        problem = arrays.Problem.of(arrays.load(path), mode, bound)
        row = command.measure(problem, path, preset, args.repeat, args.all_cores, args.cae, args.throughput)
    except Exception as e:
        row = {"error": f"{e}"[:300] or type(e).__name__}
    return row | {"build": args.build}


def measure(args, cases):
    """Measures what is missing; returns all rows of these cases."""
    import multiprocessing

    import command
    import peers
    import rows

    only = set(args.only or ("cae", *peers.NAMES))
    if unknown := only - {"cae", *peers.NAMES}:
        sys.exit(f"no compressor is called {', '.join(sorted(unknown))}; there are cae, {', '.join(peers.NAMES)}")
    presets = [p for p in args.presets.split(",") if p]
    if unknown := set(presets) - set(command.PRESETS):
        sys.exit(f"no preset is called {', '.join(sorted(unknown))}; there are {', '.join(command.PRESETS)}")
    names = [n for n in peers.NAMES if n in only and not args.peers_from]
    names += [rows.CAE + p for p in presets if "cae" in only]
    args.build = None
    if "cae" in only:
        args.cae = os.path.abspath(args.cae)
        if not os.path.exists(args.cae):
            sys.exit(f"{args.cae}: no such file; `cargo build --release` makes it, --cae says where it is")
        args.build = command.build_of(args.cae)
        if args.in_memory and not args.throughput:
            args.throughput = command.build_throughput(environment.ROOT)
        args.throughput = args.throughput and os.path.abspath(args.throughput)

    kept = []
    if args.resume and os.path.exists(args.out):
        usable = lambda r: not r["peer"].startswith(rows.CAE) or r.get("build") == args.build
        kept = [r for r in rows.read(args.out) if usable(r)]
    elif os.path.exists(args.out):
        os.remove(args.out)
    have = {rows.key(r) for r in kept}
    wanted = {(name, mode, bound) for name, _, mode, bound in cases}
    fresh = []
    if args.peers_from:
        known = [r for r in rows.read(args.peers_from) if not r["peer"].startswith(rows.CAE)]
        fresh += [r for r in known if (r["file"], r["mode"], r["bound"]) in wanted]
    jobs = [(c, n) for c in cases for n in names if (c[0], c[2], c[3], n) not in have]
    # Small arrays first: an interrupted run has covered most of them.
    jobs.sort(key=lambda job: os.path.getsize(job[0][1]))

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["peers", "arrays"])

    def one(job):
        (name, path, mode, bound), compressor = job
        if compressor.startswith(rows.CAE):
            row = cae_row(compressor.removeprefix(rows.CAE), path, mode, bound, args)
        else:
            row = peer_row(context, compressor, path, mode, bound, args)
        return {"file": name, "mode": mode, "bound": bound, "peer": compressor} | row

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        done = [pool.submit(one, job) for job in jobs]
        try:
            for i, future in enumerate(concurrent.futures.as_completed(done), 1):
                row = future.result()
                rows.append(args.out, row)
                fresh.append(row)
                progress(i, len(jobs), row)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    return [r for r in kept + fresh if (r["file"], r["mode"], r["bound"]) in wanted]


def progress(i, n, row):
    what = row.get("error") or f"{row['bytes']} bytes, ratio {row['ratio']}, error {row['worst']} of the bound"
    print(f"{i}/{n} {row['file']} {row['mode']} {row['bound']:g} {row['peer']}: {what}", file=sys.stderr, flush=True)


def main():
    args = arguments()
    if args.verb != "report" or args.plot:
        environment.enter(__file__, args.plot is not None)
    import report
    import rows

    if args.verb == "report":
        found = [r for path in args.results for r in rows.read(path)]
        text = report.full(found, args.rows)
    else:
        cases = work_of(args)
        found = measure(args, cases)
        if args.verb == "run":
            text = report.full(found, args.rows)
        else:
            text = report.score(found, {m: sum(c[2] == m for c in cases) for m in ("rel", "pw")})
    print(text, end="")
    if args.markdown:
        with open(args.markdown, "w") as f:
            f.write(text)
    if args.plot:
        import plot

        plot.draw(found, args.plot)
    failed = [r for r in found if "error" in r and r["peer"].startswith(rows.CAE)]
    if failed:
        sys.exit(f"cae failed {len(failed)} times")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; --resume continues")
    except (OSError, ValueError, subprocess.CalledProcessError) as e:
        sys.exit(f"{e}")

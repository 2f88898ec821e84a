"""`cae` by its command line, and in memory by `benches/throughput.rs`."""

import hashlib
import json
import os
import statistics
import subprocess
import tempfile

import numpy as np

PRESETS = ("fast", "balanced", "small")

# A command that takes longer hangs.
TIMEOUT = 4 * 3600


class Failed(Exception):
    """`cae` ended with an error, or broke a promise."""


def build_of(binary):
    """Names the build, so that rows of another are not taken for its own."""
    with open(binary, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()[:12]


def call(args):
    done = subprocess.run(args, capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [""]
        raise Failed(f"{os.path.basename(args[0])} {args[1]} ended with {done.returncode}: {lines[-1][:300]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(problem, path, preset, repeat, all_cores, binary, throughput):
    """Bytes, error and speed of one preset on one array, as fields of a row."""
    flags = ["--" + problem.mode, repr(problem.bound), "--preset", preset]
    if problem.fill is not None:
        flags += ["--fill", repr(problem.fill)]
    size = problem.values.nbytes
    with tempfile.TemporaryDirectory() as folder:
        packed, back = os.path.join(folder, "a.cae"), os.path.join(folder, "a.raw")

        def run(threads, times):
            encode, decode = [], []
            for _ in range(times):
                tail = ["--threads", str(threads), "--force", "--json"]
                report = call([binary, "compress", path, "-o", packed, *flags, *tail])
                encode.append(report["seconds"])
                decode.append(call([binary, "decompress", packed, "-o", back, *tail])["seconds"])
            rate = [round(size / max(statistics.median(t), 1e-9) / 1e6, 2) for t in (encode, decode)]
            return report, rate

        report, (enc, dec) = run(1, repeat)
        if report["output_bytes"] != os.path.getsize(packed):
            raise Failed(f"reports {report['output_bytes']} bytes, wrote {os.path.getsize(packed)}")
        decoded = np.fromfile(back, problem.values.dtype)
        if decoded.size != problem.values.size:
            raise Failed(f"decoded {decoded.size} values of {problem.values.size}")
        decoded = decoded.reshape(problem.values.shape)
        if fault := problem.faults(decoded):
            raise Failed(fault)
        row = {
            "bytes": report["output_bytes"],
            "ratio": round(size / report["output_bytes"], 3),
            "worst": round(problem.worst(decoded), 4),
            "enc": enc,
            "dec": dec,
            "plan": "+".join(report["plan"]["chosen"]),
            "tried": {t["name"]: t["bytes"] for t in report["plan"]["tried"]},
        }
        if all_cores and not throughput:
            row["enc_all"], row["dec_all"] = run(0, repeat)[1]
    if throughput:
        for threads, suffix in ((1, ""), (0, "_all"))[: 2 if all_cores else 1]:
            tail = ["--threads", str(threads), "--repeat", str(repeat)]
            timed = call([throughput, path, *flags, *tail])
            row["enc" + suffix], row["dec" + suffix] = round(timed["encode_mb_s"], 2), round(timed["decode_mb_s"], 2)
        row["timed"] = "in memory"
    return row


def build_throughput(root):
    """Builds the benchmark and returns its path."""
    args = ["cargo", "bench", "--bench", "throughput", "--no-default-features", "--no-run", "--message-format=json"]
    done = subprocess.run(args, cwd=root, stdout=subprocess.PIPE, text=True, check=True)
    made = [json.loads(line) for line in done.stdout.splitlines()]
    return next(m["executable"] for m in made if m.get("executable") and m["target"]["name"] == "throughput")

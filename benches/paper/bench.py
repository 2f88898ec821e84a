"""Runs the programs and keeps what they gave: one line of JSON for each row, so that a run can be continued."""

import contextlib
import hashlib
import json
import sys
import tempfile
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from processes import Failed, call

ROOT = Path(__file__).resolve().parents[2]


def build_of(*programs):
    """Names the builds, so that rows of others are not taken for theirs."""
    digest = hashlib.sha256()
    for program in programs:
        digest.update(Path(program).read_bytes())
    return digest.hexdigest()[:12]


class Bench:
    def __init__(self, data, folder, cae, cae_train, steps, quick, jobs, any_build):
        self.data, self.folder, self.cae, self.cae_train = data, folder, cae, cae_train
        self.steps, self.quick = steps, quick
        self.build = build_of(cae, cae_train)
        self.models = folder / f"models-{build_of(cae_train)}-{steps}"
        self.models.mkdir(parents=True, exist_ok=True)
        self.pool = ThreadPoolExecutor(jobs)
        self.locks, self.writing, self.failed = defaultdict(threading.Lock), threading.Lock(), []
        self.path = folder / "rows.jsonl"
        self.rows = {}
        for row in read(self.path):
            if (any_build or row["build"] == self.build) and row["steps"] == steps:
                self.rows[tuple(row["key"])] = row

    def each(self, work, items):
        """Does the work for all items, some at a time; one that fails is reported and does not end the others."""

        def one(item):
            try:
                work(item)
            except Failed as e:
                print(f"{item}: {e}", file=sys.stderr, flush=True)
                self.failed.append(item)

        list(self.pool.map(one, items))

    def row(self, *key, make):
        """The row of this key, made and kept if it is not there yet."""
        with self.locks[key]:
            if key in self.rows:
                return self.rows[key]
            begin = time.monotonic()
            row = {"key": list(key), "build": self.build, "steps": self.steps, **make()}
            with self.writing:
                print(f"{' '.join(map(str, key))}: {time.monotonic() - begin:.1f} s", file=sys.stderr, flush=True)
                self.rows[key] = row
                with self.path.open("a") as out:
                    out.write(json.dumps(row) + "\n")
            return row

    @contextlib.contextmanager
    def scratch(self):
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            yield Path(folder)

    def epochs(self, blocks, part=1.0):
        """Epochs that make about as many steps of 64 blocks as asked, or a part of them."""
        return max(2, round(self.steps * part / -(-blocks // 64)))

    def pair(self, *key):
        name = "-".join(str(k).replace(" ", "_").replace("/", "_").replace(",", "") for k in key)
        return f"{self.models / name}-encoder.onnx,{self.models / name}-decoder.onnx"

    def train(self, *key, learn, judge, extra=(), part=1.0, epochs=None, keep=False):
        """The row of a training; with `keep` its files stay and are there again if they were lost."""
        if keep and not Path(self.pair(*key).split(",")[1]).exists():
            self.rows.pop(key, None)

        def make():
            blocks = learn.stat().st_size // (4 if learn.suffix == ".f32" else 8) // 512
            with self.scratch() as folder:
                pair = self.pair(*key) if keep else f"{folder / 'e.onnx'},{folder / 'd.onnx'}"
                command = [self.cae_train, learn, "-o", pair, "--json", "--force", *extra]
                command += ["--epochs", self.epochs(blocks, part) if epochs is None else epochs]
                text, used = call(command + (["--judge", judge] if judge else []))
            return trained(json.loads(text), used)

        return self.row(*key, make=make)

    def compress(self, path, bound, *extra):
        """Bytes and processor seconds of one archive, which is read back."""
        with self.scratch() as folder:
            archive, back = folder / "x.cae", folder / f"x{path.suffix}"
            tail = ["--threads", 1, "--json", "--force"]
            text, packing = call([self.cae, "compress", path, "-o", archive, *bound, *extra, *tail])
            report = json.loads(text)
            _, unpacking = call([self.cae, "decompress", archive, "-o", back, *tail])
            if report["max_error_over_bound"] > 1 or back.stat().st_size != path.stat().st_size:
                raise Failed(f"{path}: bound {bound} is broken")
        keys = ("input_bytes", "output_bytes", "sections", "max_error_over_bound", "mean_pw_error", "psnr")
        return {k: report[k] for k in keys} | {"seconds": packing, "decode_seconds": unpacking}


def trained(report, used):
    """A training's report with processor seconds for the clock's, and a curve of few numbers."""
    scale = used / max(report["seconds"], 1e-9)
    curve = [[look["epoch"], look["seconds"] * scale, look["train_error"], look["judge_error"]] for look in report["curve"]]
    keys = ("layers", "latents", "train_blocks", "judge_blocks", "train_error", "judge_error", "judge_error_least")
    decoder = report["decoder"]["bytes"]
    return {k: report[k] for k in keys} | {"decoder_bytes": decoder, "seconds": used, "curve": curve}


def read(path):
    """Rows of a file; an incomplete last line, left by an interrupted run, is passed over."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line))
    return rows

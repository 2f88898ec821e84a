"""One line for each finding of the paper: whether it holds, from the rows.

What the paper says is told in our words, from its text; figures that it states for single sets are in STATED.
"""

from dataclasses import dataclass
from math import log

from experiments import BOUNDS, RATIOS
from results import LATTICE, PIPELINE, SZ3, mean, ratio, speeds

HOLDS, PART, NOT = "holds", "in part", "does not hold"

# Ratios that the paper states for its autoencoder and for the SZ of its day: (set, bound): (autoencoder, SZ).
STATED = {("yf17_temp", 0.1): (467, 119)}

# Values for each latent in the paper's usual model: no ratio of its pipeline can exceed it, since latents are stored as they are.
CAP = 512

# Errors below this are called usable: the loosest bound that the paper asks.
USABLE = 0.1


@dataclass
class Finding:
    says: str
    verdict: str
    figure: str


def percent(v, digits=2):
    if v is None:
        return "-"
    return f"{100 * v:.{digits}f} %" if v < 10 else f"{v:.1e}"


def share(good, all_):
    """A verdict by how many of the cases agree: all but a tenth, a third at least, fewer."""
    return HOLDS if good >= 0.9 * all_ else PART if 3 * good >= all_ else NOT


def normalization(r):
    lines = []
    for way, label in (("paper", "the paper's training"), ("ours", "ours")):
        pairs = [(r.error(n, way), r.error(n, f"{way}, not normalized")) for n in r.sets]
        pairs = [(a, b) for a, b in pairs if a is not None and b is not None]
        if pairs:
            better = sum(a < b for a, b in pairs)
            factor = mean([b / a for a, b in pairs])
            lines.append((better, len(pairs), f"{label}: smaller on {better} of {len(pairs)} sets, {factor:.1f} times in the mean"))
    if lines:
        text = "error on the half judged on with normalization against linear scaling, " + "; ".join(t for _, _, t in lines)
        return Finding("without normalization errors are large; normalizing makes them small (figures 3, 4)", share(*lines[0][:2]), text)


def accuracy(r):
    errors = [r.error(n, "ours", "judge_error_least") for n in r.sets if r.train(n)]
    if errors:
        good, paper = sum(e < USABLE for e in errors), [r.error(n, "paper", "judge_error_least") for n in r.sets if r.train(n, "paper")]
        text = f"below 10 % on {good} of {len(errors)} sets with our training, {sum(e < USABLE for e in paper)} of {len(paper)} with the paper's; best latents, half judged on"
        return Finding("an autoencoder is accurate enough at a theoretical ratio of 512", share(good, len(errors)), text)


def time(r):
    seconds = [r.train(n)["seconds"] for n in r.sets if r.train(n)]
    if seconds:
        verdict = NOT if max(seconds) < 600 else PART if min(seconds) < 3600 else HOLDS
        pairs = [(r.error(n, "ours"), r.error(n, "paper")) for n in r.sets if r.train(n) and r.train(n, "paper")]
        better = sum(a <= b for a, b in pairs)
        text = f"{min(seconds):.0f} to {max(seconds):.0f} processor seconds a set for {r.steps} steps; error no larger than that of the paper's training in as many steps on {better} of {len(pairs)} sets"
        return Finding("training takes an hour and more (figure 14)", verdict, text)


def against_peers(r):
    cells, verdicts = [], []
    for bound in BOUNDS:
        names = [n for n in r.sets if r.pipeline_ratio(n, bound) and r.peer_ratio(n, bound, ["sz2"]) and r.peer_ratio(n, bound, ["zfp"])]
        if not names:
            continue
        over = lambda peers: mean([r.pipeline_ratio(n, bound) / r.peer_ratio(n, bound, peers) for n in names])
        cells.append(f"{over(['sz2']):.2f} / {over(SZ3):.2f} / {over(['zfp']):.1f} at {bound:g}")
        verdicts.append((over(["sz2"]) >= 2, over(["zfp"]) >= 10))
    if cells:
        flat = [v for pair in verdicts for v in pair]
        text = "the pipeline with its best model, not counted, over SZ2 / SZ3 / ZFP: " + ", ".join(cells)
        return Finding("the autoencoder compresses 2 to 4 times better than SZ and 10 to 50 times better than ZFP (abstract)", share(sum(flat), len(flat)), text)


def exceeded(r):
    """Whether what the paper states for its own method is exceeded by our best plan."""
    cases = [(n, b, r.plan_ratio(n, b)) for n, b in r.cases() if r.plan_ratio(n, b)]
    if not cases:
        return None
    stated = [(n, b, m, STATED[n, b]) for n, b, m in cases if (n, b) in STATED]
    cap = [(n, b) for n, b, m in cases if m > CAP]
    ours = [(n, b) for n, b, m in cases if r.pipeline_ratio(n, b) and m > r.pipeline_ratio(n, b)]
    known = sum(1 for n, b, _ in cases if r.pipeline_ratio(n, b))
    text = "; ".join(f"{n} at {b:g}: {s[0]} stated, {m:.0f} here" for n, b, m, s in stated)
    text += f"{'; ' if text else ''}above {CAP}, which its pipeline cannot pass, in {len(cap)} of {len(cases)} cases"
    text += f"; larger than our run of its pipeline, model not counted, in {len(ours)} of {known}"
    return Finding("every ratio stated for the paper's method is exceeded without a model (our aim)", share(len(ours), known) if known else PART, text)


def peers_lost(r):
    cases = [(r.plan_ratio(n, b), r.peer_ratio(n, b, [*SZ3, "sz2", "zfp", *LATTICE])) for n, b in r.cases()]
    cases = [(a, b) for a, b in cases if a and b]
    if cases:
        lost = sum(b > a for a, b in cases)
        text = f"a peer is smaller in {lost} of {len(cases)} cases; {mean([a / b for a, b in cases]):.2f} times smaller than the best of them in the mean"
        return Finding("no peer is smaller than `cae` small on these sets (our aim)", share(len(cases) - lost, len(cases)), text)


def model_bytes(r):
    cells = []
    for bound in BOUNDS:
        pairs = [(r.pipeline_ratio(n, bound, True), r.pipeline_ratio(n, bound)) for n in r.sets if r.pipeline_ratio(n, bound)]
        if pairs:
            cells.append(f"{mean([a for a, _ in pairs]):.1f} instead of {mean([b for _, b in pairs]):.0f} at {bound:g}")
    if cells:
        kept = [r.train(n, way)["decoder_bytes"] / 1000 for n in r.sets for way in PIPELINE if r.train(n, way)]
        text = f"counted ({min(kept):.0f} to {max(kept):.0f} KB), ratios are " + ", ".join(cells)
        return Finding("the model's bytes are amortized", PART, text + ": only over many arrays")


def cv_rule(r):
    found = []
    for n in r.sets:
        f, own, peer = r.rows.get(("features", n)), r.pipeline_ratio(n, 0.01), r.peer_ratio(n, 0.01, ["sz2"])
        if f and own and peer:
            found.append((n, f, own > peer))
    if found:
        right = sum(f["cv_rule"] == pays for _, f, pays in found)
        text = f"at 0.01 it says rightly on {right} of {len(found)} sets whether the pipeline (model not counted) beats SZ2"
        counter = next((f for n, f, _ in found if n == "yf17_pres"), None)
        if counter:
            text += f"; yf17_pres: CV {counter['cv']:.2f} before, {counter['normalized_cv']:.2f} after normalization"
        return Finding("a CV below 0.4 after normalization tells which data suit; yf17_pres shows that the CV before it does not (figures 7, 8)", share(right, len(found)), text)


def breakdown(r):
    parts = []
    for n in r.sets:
        row = r.archive(n, 0.01)
        if row:
            s = row["sections"]
            rest = row["output_bytes"] - s.get("model", 0)
            parts.append((s.get("deltas", 0) + s.get("bitmap", 0) + s.get("patches", 0), s.get("latents", 0), s.get("exponents", 0), rest))
    if parts:
        of = lambda i: sum(p[i] for p in parts) / sum(p[3] for p in parts)
        text = f"at 0.01, over all sets, model left out: corrections {percent(of(0), 0)}, exponents {percent(of(2), 0)}, latents {percent(of(1), 1)}"
        return Finding("corrections, not latents, take the bytes (figure 11)", HOLDS if of(0) > 0.5 else NOT, text)


def ratios(r):
    found = {}
    for (name, at), row in r.of("ratio"):
        found.setdefault(name, {})[at] = row["judge_error"]
    ends = [(e[RATIOS[0]], e[RATIOS[-1]]) for e in found.values() if RATIOS[0] in e and RATIOS[-1] in e]
    if ends:
        grew = sum(b > a for a, b in ends)
        text = f"larger at 16384 than at 128 on {grew} of {len(ends)} sets, {mean([b / a for a, b in ends]):.1f} times in the mean"
        return Finding("the error grows with the theoretical ratio (figure 12)", share(grew, len(ends)), text)


def epochs(r):
    gains = []
    for n in r.sets:
        row = r.train(n, "paper")
        if row and len(row["curve"]) > 5:
            errors = [c[3] for c in row["curve"]]
            first, last = errors[0], min(errors)
            third = min(errors[: max(1, len(errors) // 3)])
            gains.append((last < first, log(first / third) / log(first / last) if first > last else 1.0))
    if gains:
        fell, early = sum(g for g, _ in gains), sum(e for _, e in gains) / len(gains)
        text = f"with the paper's training it fell on {fell} of {len(gains)} sets; the first third of the epochs brought {percent(early, 0)} of the fall, in the logarithm"
        return Finding("the error falls with epochs, then levels (figure 13)", share(fell, len(gains)), text)


def work(row):
    """Blocks that a training went through: its time without that of judging, which few data make no shorter."""
    return row["curve"][-1][0] * row["train_blocks"]


def reuse_variables(r):
    found = {}
    for (label, kind), row in r.of("variable"):
        found.setdefault(label, {})[kind] = row
    wanted = ("its own model", "the other's model, a tenth of the steps")
    pairs = [(f[wanted[0]], f[wanted[1]]) for f in found.values() if all(w in f for w in wanted)]
    if pairs:
        good = sum(b["judge_error"] <= 1.1 * a["judge_error"] for a, b in pairs)
        cut = 1 - mean([work(b) / work(a) for a, b in pairs])
        text = f"begun from another variable's model, a tenth of the steps ({percent(cut, 0)} less work) came within a tenth of its own model's error in {good} of {len(pairs)} cases"
        fresh = "its own model, a tenth of the steps"
        if all(fresh in f for f in found.values()):
            also = sum(f[fresh]["judge_error"] <= 1.1 * f[wanted[0]]["judge_error"] for f in found.values())
            text += f"; begun from principal components instead, in {also}"
        return Finding("a model of one variable serves others and saves training (finding 6, figure 15)", share(good, len(pairs)), text)


def reuse_steps(r):
    found = {}
    for (name, kind), row in r.of("steps"):
        found.setdefault(name, {})[kind] = row
    pairs = [(f["half"], f["1%"]) for f in found.values() if "half" in f and "1%" in f]
    if pairs:
        good = sum(b["judge_error_least"] <= 1.1 * a["judge_error_least"] for a, b in pairs)
        cut = 1 - mean([work(b) / work(a) for a, b in pairs])
        times = mean([b["judge_error_least"] / a["judge_error_least"] for a, b in pairs])
        text = f"learned from 1 % of the steps ({percent(cut, 0)} less work), the error of the others is {times:.2f} times that after half of them; within a tenth in {good} of {len(pairs)} runs"
        return Finding("a model of a few steps serves the others (finding 6, figure 15)", share(good, len(pairs)), text)


def lengths(r):
    found = {}
    for (name, count, way), row in r.of("length"):
        if ratio(row):
            found.setdefault((name, way), []).append((count, ratio(row)))
    ends = [(min(v)[1], max(v)[1]) for (_, way), v in found.items() if way == "pipeline" and len(v) > 1]
    if ends:
        grew = sum(b > a for a, b in ends)
        text = f"model counted, larger for the whole array than for a 64th on {grew} of {len(ends)} sets, {mean([b / a for a, b in ends]):.0f} times in the mean"
        return Finding("the larger the array, the higher the ratio (figure 9)", share(grew, len(ends)), text)


def speed(r):
    found = {line[0]: line for line in speeds(r)}
    ours, sz2 = found.get("paper's pipeline"), found.get("sz2")
    if ours and sz2:
        text = f"compresses {sz2[1] / ours[1]:.0f} times slower than SZ2, decompresses {sz2[2] / ours[2]:.1f} times slower"
        verdict = HOLDS if sz2[1] > ours[1] and sz2[2] > ours[2] else NOT
        return Finding("the autoencoder is slower than SZ and ZFP (table 3)", verdict, text)


def pictures(r):
    pairs = [(row["psnr"], row["sz3_psnr"]) for _, row in r.of("picture")]
    if pairs:
        better = sum(a > b for a, b in pairs)
        gain = sum(a - b for a, b in pairs) / len(pairs)
        text = f"`cae` small, no model: higher PSNR than SZ3 in {better} of {len(pairs)} cases, by {gain:.1f} dB in the mean"
        return Finding("at ratios of 30, 50 and 100 the fields look better than SZ's (figure 6)", share(better, len(pairs)), text)


ALL = (normalization, accuracy, time, against_peers, exceeded, peers_lost, model_bytes, lengths, cv_rule, breakdown, ratios, epochs, reuse_variables, reuse_steps, speed, pictures)


def findings(r):
    return [f for f in (make(r) for make in ALL) if f]

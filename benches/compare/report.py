"""Tables: Markdown that is also readable on a terminal."""

import rows as results
from rows import CAE, SZ3, geometric_mean


def table(head, body):
    """A Markdown table with aligned columns, numbers to the right; nothing if there is nothing to show."""
    if not body:
        return ""
    body = [[cell if isinstance(cell, str) else number(cell) for cell in line] for line in body]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    right = [all(not line[i] or line[i][0].isdigit() or line[i] == "-" for line in body) for i in range(len(head))]

    def text(line):
        cells = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right)]
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join("-" * (w + 1) + (":" if r else "-") for w, r in zip(widths, right)) + "|"
    return "\n".join([text(head), rule, *map(text, body)])


def number(value):
    if value is None or value != value:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4g}" if value < 1000 else f"{value:.0f}"


def bound_text(case):
    return f"{case.mode} {case.bound:g}"


def every_row(cases):
    """All that was measured."""
    all_cores = any("enc_all" in r for c in cases for r in c.rows.values())
    head = ["file", "bound", "compressor", "bytes", "ratio", "error/bound", "enc MB/s", "dec MB/s"]
    head += ["enc all", "dec all"] if all_cores else []
    body = []
    for c in cases:
        for peer, r in c.rows.items():
            line = [c.file, bound_text(c), peer + (f" ({r['plan']})" if "plan" in r else "")]
            if "error" in r:
                line += [r["error"].replace("|", "/")] + [""] * (len(head) - 4)
            else:
                line += [r.get(k) for k in ("bytes", "ratio", "worst", "enc", "dec")]
                line += [r.get(k) for k in ("enc_all", "dec_all")] if all_cores else []
            body.append(line)
    return table(head, body)


def compressors(cases):
    """Each compressor over all files that it could take, by bound."""
    lines = {}
    for c in cases:
        for peer, r in c.rows.items():
            if "bytes" in r:
                lines.setdefault((c.mode, -c.bound, peer), []).append((c, r))
    head = ["bound", "compressor", "arrays", "ratio", "error/bound", "enc MB/s", "dec MB/s", "enc all", "dec all"]
    body = []
    for (_, _, peer), found in sorted(lines.items(), key=lambda kv: kv[0]):
        figures = [len(found), geometric_mean([r["ratio"] for _, r in found]), max(r["worst"] for _, r in found)]
        for k in ("enc", "dec", "enc_all", "dec_all"):
            figures.append(geometric_mean([r[k] for _, r in found if r.get(k)]))
        body.append([bound_text(found[0][0]), peer, *figures])
    return table(head, body)


def against(cases, preset):
    """Pairs that can be compared: (case, cae's row)."""
    return [(c, c.of(preset)) for c in cases if c.of(preset) and c.best()]


def over(pairs, names=None):
    """How many times smaller cae is than the best of these peers: geometric mean."""
    return geometric_mean([c.best(names)["bytes"] / r["bytes"] for c, r in pairs if c.best(names)])


def lost(pairs):
    """The pairs where a peer is smaller, the worst first."""
    found = [(c, r) for c, r in pairs if c.best()["bytes"] < r["bytes"]]
    return sorted(found, key=lambda p: p[0].best()["bytes"] / p[1]["bytes"])


def by_bound(cases):
    groups = {}
    for c in cases:
        groups.setdefault((c.mode, -c.bound), []).append(c)
    return [groups[k] for k in sorted(groups)]


def summary(cases, presets):
    """By bound and preset: how many times smaller than the peers, and how often one of them is smaller."""
    body = []
    for part in by_bound(cases):
        for preset in presets:
            pairs = against(part, preset)
            if pairs:
                figures = [len(pairs), over(pairs, SZ3), over(pairs), len(lost(pairs))]
                body.append([bound_text(part[0]), preset, *figures])
    return table(["bound", "preset", "arrays", "best SZ3 / cae", "best peer / cae", "lost"], body)


def by_group(cases, presets):
    """The same by folder, all bounds together."""
    groups = {}
    for c in cases:
        groups.setdefault((c.mode, results.group(c.file)), []).append(c)
    body = []
    for (mode, group), part in sorted(groups.items()):
        for preset in presets:
            pairs = against(part, preset)
            if pairs:
                body.append([f"{group} ({mode})", preset, len(pairs), over(pairs, SZ3), over(pairs), len(lost(pairs))])
    return table(["group", "preset", "cases", "best SZ3 / cae", "best peer / cae", "lost"], body)


def losses(cases, presets):
    """Where a peer is smaller; the preset that has no excuse first."""
    body = []
    for preset in reversed(presets):
        for c, r in lost(against(cases, preset)):
            best = c.best()
            tried = ", ".join(f"{k} {v}" for k, v in sorted(r.get("tried", {}).items(), key=lambda t: t[1]))
            share = f"{r['bytes'] / best['bytes']:.3f}"
            body.append([preset, c.file, bound_text(c), r["bytes"], best["bytes"], best["peer"], share, tried or "-"])
    head = ["preset", "file", "bound", "cae bytes", "peer bytes", "peer", "cae / peer", "tried by cae (bytes)"]
    return table(head, body) or "Nowhere." * bool(presets)


def failures(cases):
    """Errors of cae, and peers that did not count."""
    body = []
    for c in cases:
        for peer, r in c.rows.items():
            if "error" in r and peer.startswith(CAE):
                body.append([peer, c.file, bound_text(c), r["error"].replace("|", "/")])
            elif r.get("worst", 0) > results.PEER_SLACK:
                body.append([peer, c.file, bound_text(c), f"error {r['worst']} of the bound: not counted"])
    return table(["compressor", "file", "bound", "what"], body)


def full(rows, with_rows):
    """The whole report."""
    cases, presets = results.cases(rows), results.presets(rows)
    parts = [
        ("Every result", every_row(cases) if with_rows else ""),
        ("Each compressor, geometric means over the arrays that it takes", compressors(cases)),
        ("cae against the best peer of each array, geometric means", summary(cases, presets)),
        ("By folder", by_group(cases, presets)),
        ("Where a peer is smaller", losses(cases, presets)),
        ("What went wrong", failures(cases)),
    ]
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in parts if text) + "\n"


def score(rows, wanted):
    """The figures that the project is judged by: `wanted` is the number of cases for each mode."""
    cases, presets = results.cases(rows), results.presets(rows)
    fields = [c for c in cases if c.mode == "rel"]
    papers = [c for c in cases if c.mode == "pw"]
    parts = [
        ("Fields, range-relative bounds, geometric means", summary(fields, presets)),
        ("The paper's sets, point-wise bounds", paper_table(papers, presets)),
        ("Where a peer is smaller", losses(cases, presets)),
        ("What went wrong", failures(cases)),
    ]
    counts = [f"{preset}: {len(against(fields, preset))} of {wanted['rel']} fields and "
              f"{len(against(papers, preset))} of {wanted['pw']} of the paper's cases measured" for preset in presets]
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in parts if text) + "\n\n" + "\n".join(counts) + "\n"


def paper_table(cases, presets):
    body = []
    for preset in presets:
        pairs = against(cases, preset)
        if pairs:
            theirs = sum(c.best()["bytes"] for c, _ in pairs)
            mine = sum(r["bytes"] for _, r in pairs)
            body.append([preset, len(pairs), len(lost(pairs)), over(pairs, SZ3), over(pairs), mine, theirs])
    return table(["preset", "cases", "lost", "best SZ3 / cae", "best peer / cae", "cae bytes", "best peers' bytes"], body)

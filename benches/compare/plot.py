"""Ratio against speed, one panel for each bound and direction; needs matplotlib."""

import rows as results


def draw(rows, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = {}
    for c in results.cases(rows):
        for peer, r in c.rows.items():
            for direction in ("enc", "dec"):
                if r.get(direction) and r.get("ratio"):
                    panel = panels.setdefault((c.mode, -c.bound), {}).setdefault(direction, {})
                    panel.setdefault(peer, []).append((r[direction], r["ratio"]))
    if not panels:
        raise ValueError("no row has a speed")
    names = sorted({p for b in panels.values() for d in b.values() for p in d})
    colors = {n: pyplot.get_cmap("tab20")(i % 20) for i, n in enumerate(names)}
    figure, axes = pyplot.subplots(2, len(panels), figsize=(4.2 * len(panels), 7.5), squeeze=False)
    for column, (bound, directions) in enumerate(sorted(panels.items())):
        for line, (direction, title) in enumerate((("enc", "compression"), ("dec", "decompression"))):
            axis = axes[line][column]
            for peer, points in sorted(directions.get(direction, {}).items()):
                speed, ratio = (results.geometric_mean(v) for v in zip(*points))
                marker = "s" if peer.startswith(results.CAE) else "o"
                axis.scatter(speed, ratio, color=colors[peer], marker=marker, label=peer)
                axis.annotate(peer, (speed, ratio), textcoords="offset points", xytext=(4, 4), fontsize=7)
            axis.set(xscale="log", yscale="log", title=f"{bound[0]} {-bound[1]:g}, {title}", xlabel="MB/s, one thread")
            axis.grid(True, which="both", alpha=0.3)
        axes[0][column].set_ylabel("ratio")
        axes[1][column].set_ylabel("ratio")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)

"""The drawings of docs/benchmarks.md: SVG, the same bytes for the same results."""

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as pyplot
from matplotlib.ticker import FuncFormatter

matplotlib.rcParams.update({
    # Names inside the file are made from this, not from chance; letters stay letters.
    "svg.hashsalt": "towline", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9,
    "axes.spines.top": False, "axes.spines.right": False,
})
BROKER, FAINT, FIRST, GOAL = "#1f6f8b", "#d5dde1", "#c98a2b", "#2f7d4f"
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")


def save(figure, path):
    figure.savefig(path, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    pyplot.close(figure)
    # matplotlib leaves spaces at the end of lines.
    path.write_text("".join(line.rstrip() + "\n" for line in path.read_text().splitlines()))


def marks(found, path):
    """A point for each mark with its spread, and the two limits; false if there is none."""
    sides = [[(m, v) for m, v in found if v and m.more_is_better is side] for side in (True, False)]
    if not any(sides):
        return False
    heights = [max(len(side), 1) for side in sides]
    figure, axes = pyplot.subplots(2, 1, figsize=(8, 1.6 + 0.32 * sum(heights)), height_ratios=heights, layout="constrained")
    for axis, side, title in zip(axes, sides, ("more is better", "less is better")):
        medians = [value["median"] for _, value in side]
        spread = [[v["median"] - v["min"] for _, v in side], [v["max"] - v["median"] for _, v in side]]
        rows = range(len(side))
        axis.set_xscale("log")
        axis.grid(axis="x", color=FAINT, linewidth=0.5)
        axis.errorbar(medians, rows, xerr=spread, fmt="o", color=BROKER, markersize=5, capsize=3, label="broker")
        axis.plot([mark.first for mark, _ in side], rows, "|", color=FIRST, markersize=13, markeredgewidth=2, label="first")
        axis.plot([mark.goal for mark, _ in side], rows, "|", color=GOAL, markersize=13, markeredgewidth=2, label="goal")
        axis.set_yticks(rows, [f"{m.number}: {m.what}" + (f" / {m.against}" if m.against != "-" else "") for m, _ in side])
        axis.invert_yaxis()
        axis.xaxis.set_major_formatter(PLAIN)
        axis.set_title(title, loc="left", fontsize=9)
    axes[0].legend(frameon=False, loc="lower left", bbox_to_anchor=(0.35, 1), ncols=3, borderaxespad=0)
    save(figure, path)
    return True


def curves(found, names, path):
    """A drawing for each axis: rate and CPU of the broker over A's; false if there is none."""
    if not found:
        return False
    columns = min(2, len(found))
    lines = -(-len(found) // columns)
    figure, axes = pyplot.subplots(lines, columns, figsize=(8, 2.3 * lines), squeeze=False, layout="constrained")
    for axis in axes.flat[len(found):]:
        axis.remove()
    for axis, (name, points) in zip(axes.flat, found.items()):
        where = [at for at, _ in points]
        for quantity, color, label in (("rate", BROKER, "rate / A"), ("server_cpu_us", FIRST, "CPU / A")):
            ratios = [shape["ratios"]["A"].get(quantity) for _, shape in points]
            if all(ratios):
                axis.plot(where, [ratio["median"] for ratio in ratios], "o-", color=color, markersize=3, label=label)
                axis.fill_between(where, [r["min"] for r in ratios], [r["max"] for r in ratios], color=color, alpha=0.15, linewidth=0)
        axis.set_xscale("log")
        axis.set_ylim(bottom=0)
        axis.margins(x=0.05)
        axis.axhline(1, color=FAINT, linewidth=0.8)
        axis.xaxis.set_major_formatter(PLAIN)
        axis.set_xlabel(names[name])
    axes.flat[0].legend(frameon=False)
    save(figure, path)
    return True

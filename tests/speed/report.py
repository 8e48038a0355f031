#!/usr/bin/env python3
"""report.py RESULTS TO: writes TO/benchmarks.md and the drawings in TO/benchmarks/ from what a run found, and from nothing
else: the same results give the same bytes."""

import json
import pathlib
import statistics
import string
import sys

import marks
import plots

STEPS = {
    "rpc": "Request-response",
    "half": "Open loop, at half of the broker's own capacity",
    "starter": "Request-response with the metadata of the Java starter",
    "defibus": "Request-response beside DeFiBus",
    "defibus_queued": "Request-response by way of a durable topic, beside DeFiBus",
    "stream": "Streams, 1 -> 1",
    "fnf": "Fire-and-forget, 1 -> 1",
}
TOPICS = {
    "publish": "Publishing, synced before it is confirmed",
    "publish_rocketmq": "The same beside RocketMQ",
    "publish_topics": "Publishing to 1,000 topics",
    "publish_os": "Publishing, handed to the operating system before it is confirmed",
    "publish_many": "Publishing over one channel of `publishMany` for each connection",
    "consume": "Consuming with acknowledgements",
}
SIDES = {"A": "A", "broker": "**broker**", "nats": "NATS", "rsocket_rust": "rsocket_rust proxy", "java": "alibaba-rsocket-broker",
         "redis": "Redis", "jetstream": "JetStream", "rabbitmq": "RabbitMQ",
         "rocketmq": "RocketMQ", "queued": "**broker**, by a topic", "defibus": "DeFiBus"}
QUANTITIES = [("rate", 0), ("p50_us", 1), ("p99_us", 1), ("server_cpu_us", 2)]
CURVES = {
    "connections": "connections",
    "in_flight": "streams a connection",
    "services": "services",
    "instances": "instances of the service",
    "size": "bytes of payload",
    "fragment": "bytes of a fragment",
}


def main(results_in, to):
    results = {path.stem: json.loads(path.read_text()) for path in sorted(pathlib.Path(results_in).glob("*.json"))}
    to = pathlib.Path(to)
    drawings = to / "benchmarks"
    drawings.mkdir(parents=True, exist_ok=True)
    for old in drawings.glob("*.svg"):
        old.unlink()
    found = marks.found(results)
    curves = {axis: points for axis in CURVES if (points := marks.curve(results, axis))}
    has_marks = plots.marks(found, drawings / "marks.svg")
    has_curves = plots.curves(curves, CURVES, drawings / "curves.svg")
    template = string.Template(pathlib.Path(__file__).with_name("benchmarks.md").read_text())
    text = template.substitute(
        warning=warning(results),
        facts=facts_table(results.get("facts", {})),
        marks=marks_table(found),
        marks_drawing="![The marks](benchmarks/marks.svg)" if has_marks else "",
        shapes="\n\n".join(section(results, step, title) for step, title in STEPS.items()),
        flat=flat(results),
        scale=scale(results),
        topics="\n\n".join(section(results, step, title, "###") for step, title in TOPICS.items()),
        proxies=proxies(results),
        libraries=libraries(results),
        curves=curves_tables(curves) or missing(results, "curves"),
        curves_drawing="![The curves](benchmarks/curves.svg)" if has_curves else "",
        checks=checks(results),
        idle=idle(results),
        profile=profile(results, "profile"),
        profile_libraries=profile(results, "profile_libraries"),
        instructions=instructions(),
    )
    (to / "benchmarks.md").write_text("\n".join(line.rstrip() for line in squeezed(text)) + "\n")


def instructions():
    counts = pathlib.Path(__file__).with_name("instructions.txt").read_text().split()
    return table(["operation", "instructions"], [[name, f"{int(count):,}"] for name, count in zip(counts[::2], counts[1::2])])


def squeezed(text):
    """The lines, never two empty ones in a row."""
    lines = text.strip().splitlines()
    return [line for at, line in enumerate(lines) if line.strip() or lines[at - 1].strip()]


def warning(results):
    if results.get("facts", {}).get("quick"):
        return "**A quick run: it shows that everything works, its figures mean nothing.**"
    return ""


def facts_table(facts):
    versions = facts.get("versions", {})
    rows = [
        ("revision", facts.get("revision", "") + (" with changes" if facts.get("changed") else "")),
        ("machine", f"{facts.get('cores')} cores ({facts.get('cpu')}), {facts.get('memory_gib')} GiB, {facts.get('kernel')}"),
        ("compiler", facts.get("rustc", "")),
        ("load before, after", f"{facts.get('load_before', 0):.2f}, {facts.get('load_after', 0):.2f}"),
        ("peers", ", ".join(f"{SIDES.get(name, name)} {version}" for name, version in versions.items() if version)),
    ]
    rows += [("left out", f"{SIDES.get(name, name)}: {why}") for name, why in facts.get("peers_left_out", {}).items()]
    return table(["", ""], rows)


def marks_table(found):
    rows = []
    for mark, value in found:
        if value is None:
            rows.append([mark.number, mark.what, mark.against, "not measured", limit(mark.first), limit(mark.goal)])
            continue
        met = [limit(end) + (" met" if mark.is_met(end, value["median"]) else " **not met**") for end in (mark.first, mark.goal)]
        rows.append([mark.number, mark.what, mark.against, spread(value), *met])
    return table(["mark", "of the broker", "over", "ratio (min..max)", "first", "goal"], rows)


def limit(value):
    return f"{value:g}"


def spread(value):
    if value["min"] == value["max"]:
        return number(value["median"])
    return f"{number(value['median'])} ({number(value['min'])}..{number(value['max'])})"


def number(value):
    """Three digits that say something; a whole number as it is."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3}f}"


def section(results, step, title, head="##"):
    shapes = marks.output(results, step).get("shapes", [])
    lines = [f"{head} {title}", command(results, step), left_out(results, step)]
    if not shapes:
        return "\n\n".join([*lines, missing(results, step)])
    heads = ["shape", "side", "a second", "p50 us", "p99 us", "CPU us", "broker / side: rate", "p50", "p99", "CPU"]
    rows = []
    for shape in shapes:
        note = f"{name_of(shape['shape'])}<br>{shape['kept']} of {len(shape['rounds'])} rounds, foreign {spread(shape['foreign_cores'])}"
        for at, (side, sample) in enumerate(shape["sides"].items()):
            absolute = [f"{sample[key]:,.{digits}f}" if sample.get(key) is not None else "" for key, digits in QUANTITIES]
            ratios = shape["ratios"].get(side, {})
            relative = [spread(ratios[key]) if ratios.get(key) else "" for key, _ in QUANTITIES]
            rows.append([note if at == 0 else "", SIDES.get(side, side), *absolute, *relative])
    return "\n\n".join([*lines, table(heads, rows)])


def command(results, step):
    argv = results.get(step, {}).get("command")
    return f"`{argv}`" if argv else ""


def left_out(results, step):
    return "\n".join(f"Left out: {SIDES.get(n, n)}: {why}" for n, why in results.get(step, {}).get("left_out", {}).items())


def name_of(shape):
    rest = {key: value for key, value in shape.items() if key not in ("connections", "in_flight", "size") and value not in (None, "", 0) and (key, value) not in (("services", 1), ("instances", 1))}
    parts = []
    if "connections" in shape:
        parts.append(f"{shape['connections']}x{shape['in_flight']}" if "in_flight" in shape else f"{shape['connections']} connections")
    if "size" in shape:
        parts.append(f"{shape['size']:,} B")
    return ", ".join(parts + [f"{key} {value:,}" if isinstance(value, int) else f"{key} {value}" for key, value in rest.items()])


def missing(results, step):
    return f"Not measured: {results.get(step, {}).get('failed', 'not part of this run')}."


def proxies(results):
    rounds = marks.output(results, "proxies").get("rounds")
    if not rounds:
        return missing(results, "proxies")
    rows = [
        [str(at), side, *(f"{sample[key]:,.{digits}f}" for key, digits in QUANTITIES), number(sample["foreign_cores"])]
        for at, both in enumerate(rounds, 1)
        for side, sample in both.items()
        if side != "thin"
    ]
    return table(["round", "side", "a second", "p50 us", "p99 us", "server's CPU us", "foreign load"], rows)


def libraries(results):
    """CPU of the ends of a call, by hand and by the libraries, in the same rounds."""
    rounds = [both for both in marks.output(results, "proxies").get("rounds", []) if "thin" in both]
    if not rounds:
        return missing(results, "proxies")
    cost = {side: [both[side]["load_cpu_us"] for both in rounds] for side in ("thin", "proxies")}
    ratios = [ours / thin for ours, thin in zip(cost["proxies"], cost["thin"])]
    rows = [[name, spread_of(cost[side]), over] for side, name, over in (("thin", "by hand", ""), ("proxies", "the libraries", spread_of(ratios)))]
    return table(["client and responder", "CPU us a call", "over by hand"], rows)


def flat(results):
    axes = marks.output(results, "flat")
    if not axes:
        return missing(results, "flat")
    rows = [[f"{int(at):,} {axis}", number(point["cpu_us"]), spread(point["ratio"])] for axis, points in axes.items() for at, point in points.items()]
    return table(["", "CPU us", "over one"], rows)


def scale(results):
    axes = marks.output(results, "scale")
    if not axes:
        return missing(results, "scale")
    names = {"backlog": "messages in the topic", "topics": "topics"}
    rows = [
        [f"{int(at):,} {names[axis]}", number(point["cpu_us"]), spread(point["ratio"]), number(point["memory_mib"])]
        for axis, points in axes.items()
        for at, point in points.items()
    ]
    return table(["", "CPU us a message", "over the fewest", "private memory, MiB"], rows)


def spread_of(values):
    return spread({"median": statistics.median(values), "min": min(values), "max": max(values)})


def curves_tables(curves):
    parts = []
    for axis, points in curves.items():
        rows = [
            [f"{at:,}", *(spread(shape["ratios"]["A"][key]) if shape["ratios"]["A"].get(key) else "" for key, _ in QUANTITIES)]
            for at, shape in points
        ]
        parts.append(table([CURVES[axis], "rate / A", "p50 / A", "p99 / A", "CPU / A"], rows))
    return "\n\n".join(parts)


def checks(results):
    found = marks.output(results, "checks")
    if not found:
        return missing(results, "checks")
    rows = []
    for check in found:
        figures = check.get("figures") or {}
        held = [
            f"{condition}: {number(figures[key]) if (key := condition.split()[0]) in figures and figures[key] is not None else '?'}"
            + ("" if holds else " **no**")
            for condition, holds in (check.get("conditions") or {}).items()
        ]
        rows.append([check["check"], "met" if check["met"] else "**not met**", "<br>".join(held) or "nothing was measured"])
    return table(["check", "", "condition: found"], rows)


def idle(results):
    """A line for each figure, a column for each run."""
    runs = [("idle", "broker"), ("idle_3000", "broker"), ("idle_3000_java", SIDES["java"])]
    outs = [(who, out) for step, who in runs if (out := marks.output(results, step))]
    names = dict.fromkeys(name for _, out in outs for name in out["figures"])
    rows = [
        [name.replace("_", " "), *(number(out["figures"][name]) if name in out["figures"] else "" for _, out in outs)]
        for name in names
    ]
    heads = ["", *(f"{who}, {out['shape']['connections']:,}" for who, out in outs)]
    missed = [f"{who}, {step}: {missing(results, step)}" for step, who in runs if not marks.output(results, step)]
    return "\n\n".join(([table(heads, rows)] if rows else []) + missed)


def profile(results, step):
    out = marks.output(results, step)
    if not out:
        return missing(results, step)
    share = out["share"]
    rows = [[f"{s['percent']:.2f}%", "kernel" if s["kernel"] else "user", f"`{s['symbol']}`"] for s in out["symbols"]]
    return f"Kernel {share['kernel']}%, user {share['user']}%.\n\n" + table(["", "", "symbol"], rows)


def table(heads, rows):
    cell = lambda text: str(text).replace("|", "\\|")
    lines = ["| " + " | ".join(map(cell, heads)) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(map(cell, row)) + " |" for row in rows])


if __name__ == "__main__":
    main(*sys.argv[1:])

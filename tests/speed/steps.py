"""What a run measures, one step after the other."""

import glob
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Callable

from busy import Busy
from peers import TONIC, TOWLINE, collect_garbage
from process import Ended, Failed, die_with_parent, run_to_end

# Seconds a step may take, far above what it does.
PATIENCE = 3 * 3600
# Above this a round does not count, as in `towline bench`.
FOREIGN_LIMIT = 0.5
ENOUGH_ROUNDS = 3
# Seconds DeFiBus is loaded before; it goes on becoming faster for minutes, as its rounds show.
DEFIBUS_WARM = 60
SCHEMES = {"nats": "nats", "rsocket_rust": "rsocket", "java": "broker", "profiled": "broker", "defibus": "defibus"}


@dataclass(frozen=True)
class Step:
    name: str
    take: Callable
    # Left out unless this was given: what has to be built from its public source.
    needs: str = ""


def rounds(quick, preset):
    if preset == "curves":
        # Many points: how they lie to each other counts.
        return ["--rounds", "1", "--seconds", "0.2", "--warmup", "0.1"] if quick else ["--rounds", "2", "--seconds", "0.5", "--warmup", "0.2"]
    return ["--rounds", "2", "--seconds", "0.5", "--warmup", "0.5"] if quick else ["--rounds", "5", "--seconds", "2", "--warmup", "0.5"]


def bench(arguments, log):
    """`towline bench ... -o json`: its object; an end with a failure still gives what it had printed."""
    return json.loads(run_to_end([TOWLINE, "bench", *arguments, "-o", "json"], log, PATIENCE))


def compared(verb, names, more=(), window=rounds):
    """Rounds of A, the broker and peers; a peer the run fails of is left out, and the run made again. `names`: of the peers,
    or what each is called and the process it is."""
    processes = names if isinstance(names, dict) else dict(zip(names, names))

    def take(peers, log, quick):
        started = {name: peers.start(process) for name, process in processes.items()}
        left_out = {name: peers.failed[process] for name, process in processes.items() if started[name] is None}
        names_left = [name for name in names if started[name] is not None]
        if names and not names_left:
            return {"failed": "; ".join(left_out.values()), "left_out": left_out}
        while True:
            flags = [flag for name in names_left for flag in ("--peer", peer(name, started[name]))]
            try:
                output = bench([verb, *more, *window(quick, more[-1] if more else ""), *flags], log)
                return {"output": output, "left_out": left_out}
            except Failed as error:
                guilty = next((name for name in names_left if str(error).startswith(f"towline bench: {name}")), None)
                if guilty is None or (len(names_left) == 1 and list(names) == [guilty]):
                    raise
                names_left.remove(guilty)
                left_out[guilty] = str(error)

    return take


def topics(verb, processes, more=(), window=rounds):
    """Durable topics: peers that keep what they get are there for one step, and so is what they keep."""

    def take(peers, log, quick):
        try:
            return compared(verb, processes, ["--folder", "target/speed/scratch", *more], window)(peers, log, quick)
        finally:
            for process in [*processes.values(), "epmd"]:
                peers.end(process)

    return take


def filled(quick, _):
    return ["--rounds", "2", "--messages", "20000"] if quick else ["--rounds", "5"]


def peer(name, process):
    return f"{name}={SCHEMES.get(name, name)}://{process.address}?pid={process.pid}"


def beside_java(name, more=(), seconds=30):
    """Calls beside a peer that runs in Java, loaded before for so long, and ended afterwards."""

    def take(peers, log, quick):
        process = peers.start(name)
        if process is None:
            return {"failed": peers.failed[name]}
        try:
            warm_up(["rpc", *more, "--peer", peer(name, process)], log, quick, seconds)
            return compared("rpc", [name], more)(peers, log, quick)
        finally:
            peers.end(name)

    return take


def publish_beside_rocketmq(peers, log, quick):
    rocketmq = peers.start("rocketmq")
    if rocketmq is None:
        return {"failed": peers.failed["rocketmq"]}
    shape = ["--shape", "8x32"]
    try:
        warm_up(["publish", *shape, "--folder", "target/speed/scratch", "--peer", peer("rocketmq", rocketmq)], log, quick)
        return topics("publish", {"rocketmq": "rocketmq"}, shape)(peers, log, quick)
    finally:
        peers.end("rocketmq")


def warm_up(load, log, quick, seconds=30):
    """Loads all sides before they are measured: what runs in Java is compiled while it runs."""
    bench([*load, "--rounds", "1", "--seconds", "3" if quick else str(seconds)], log)


def idle(connections, of=None):
    """Memory of idle connections: of our own broker or of the Java one."""

    def take(peers, log, quick):
        count = min(connections, 1_000) if quick else connections
        flags = ["idle", "--connections", str(count), "--traffic", "--seconds", "5" if quick else "30"]
        if of is None:
            return {"output": bench(flags, log)}
        # A fresh one: what it served before would count.
        peers.end(of)
        process = peers.start(of)
        if process is None:
            return {"failed": peers.failed[of]}
        done = threading.Event()
        collector = threading.Thread(target=collect_garbage, args=(process.pid, done))
        collector.start()
        try:
            return {"output": bench([*flags, "--broker", process.address, "--broker-pid", str(process.pid)], log)}
        finally:
            done.set()
            collector.join()
            peers.end(of)

    return take


def flat(peers, log, quick):
    """What a request costs the broker as services and instances grow, each time beside one of each in the same round."""
    count, window = (2, ["--seconds", "0.3", "--warmup", "0.2"]) if quick else (9, ["--seconds", "1", "--warmup", "0.5"])
    # One instance at a time is called: together, their batches would be divided, which is the price of spreading load.
    axes = {"services": ([1, 1_000, 100_000], []), "instances": ([1, 10, 100, 1_000], ["--connections", "1", "--in-flight", "1"])}
    done = {axis: [] for axis in axes}
    for _ in range(count):
        for axis, (points, shape) in axes.items():
            ran = {at: bench(["rpc", *shape, f"--{axis}", str(at), "--rounds", "1", *window], log) for at in points}
            done[axis].append({at: run["shapes"][0]["rounds"][0]["broker"] for at, run in ran.items()})
    return {"output": {axis: flatness(rounds) for axis, rounds in done.items()}}


def flatness(rounds):
    """By where: the broker's CPU a request, and that over the first point's in the same round."""
    calm = [r for r in rounds if max(sample["foreign_cores"] for sample in r.values()) <= FOREIGN_LIMIT]
    kept = calm if len(calm) >= ENOUGH_ROUNDS else rounds
    found = {}
    for at in kept[0]:
        costs = [r[at]["server_cpu_us"] for r in kept]
        found[at] = {"cpu_us": statistics.median(costs), "ratio": spread([cost / r[min(r)]["server_cpu_us"] for cost, r in zip(costs, kept)])}
    return found


def scale(peers, log, quick):
    """What a message costs the broker, and what it holds, as the messages in a topic and the topics grow."""
    count, window = (2, ["--seconds", "0.5"]) if quick else (7, ["--seconds", "2"])
    axes = {"backlog": [10_000, 20_000] if quick else [10_000, 50_000, 5_000_000], "topics": [10, 100] if quick else [10, 10_000]}
    # What making many topics leaves behind, a segment that is filled ahead, is done by then; a small backlog is still one.
    warmup = {"backlog": "0.2" if quick else "0.5", "topics": "0.2" if quick else "2"}
    shape = ["--shape", "8x32", "--durability", "os", "--folder", "target/speed/scratch", "--rounds", "1", *window]
    done = {axis: [] for axis in axes}
    for _ in range(count):
        for axis, points in axes.items():
            ran = {at: bench(["publish", *shape, "--warmup", warmup[axis], f"--{axis}", str(at)], log) for at in points}
            done[axis].append({at: run["shapes"][0]["rounds"][0]["broker"] for at, run in ran.items()})
    found = {axis: flatness(rounds) for axis, rounds in done.items()}
    for axis, rounds in done.items():
        for at in rounds[0]:
            found[axis][at]["memory_mib"] = statistics.median(r[at]["server_bytes"] for r in rounds) / 2**20
    return {"output": found}


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def proxies_and_grpc(peers, log, quick):
    """A generated client, the broker and a generated responder, in turn with the thin ends at the same broker and with a
    generated gRPC client and server."""
    server = peers.start("tonic")
    if server is None:
        return {"failed": peers.failed["tonic"]}
    # tonic counts its own window; one round of ours at a time, so that they alternate.
    count, window = (2, ["--seconds", "1", "--warmup", "0.5"]) if quick else (5, ["--seconds", "2", "--warmup", "0.5"])
    done = []
    for _ in range(count):
        sample, thin = (
            bench(["rpc", "--target", target, "--rounds", "1", *window], log)["shapes"][0]["rounds"][0][target]
            for target in ("proxies", "broker")
        )
        busy, before = Busy([os.getpid(), server.pid]), children_seconds()
        said = run_to_end([TONIC, "load", "--to", server.address, "--server-pid", str(server.pid), *window], log, 120)
        theirs = json.loads(said)
        theirs["foreign_cores"] = busy.foreign_cores(children_seconds() - before)
        done.append({"proxies": sample, "thin": thin, "tonic": theirs})
    calm = [r for r in done if max(side["foreign_cores"] for side in r.values()) <= FOREIGN_LIMIT]
    kept = calm if len(calm) >= ENOUGH_ROUNDS else done
    ratios = [r["proxies"]["rate"] / r["tonic"]["rate"] for r in kept]
    return {"output": {"ratio": spread(ratios), "kept": len(kept), "rounds": done}}


def children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def checks(peers, log, quick):
    """The load checks; each prints its figures as lines of JSON, then whether it is met."""
    scripts, found = sorted(glob.glob("tests/speed/load/L*")), []
    for script in scripts:
        name = os.path.basename(script)
        try:
            said = run_to_end([script, *(["--seconds", "3"] if quick else [])], f"{log}.{name}", PATIENCE)
        except Ended as error:
            # One that is not met ends with a failure; what it has said counts.
            said = error.said
        judged = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        found += judged or [{"check": name, "met": False, "figures": {}, "conditions": {}}]
    return {"output": found} if found else {"failed": "there are no checks in tests/speed/load"}


def profile(peers, log, quick):
    """Where the broker's CPU time goes under the load of mark 1."""
    broker = peers.start("broker")
    if broker is None:
        return {"failed": peers.failed["broker"]}
    try:
        # It samples only while the broker runs: what else the bench measures in turn leaves no trace.
        load = ["rpc", "--rounds", "1", "--seconds", "2" if quick else "15", "--peer", peer("profiled", broker)]
        return recorded(["-p", str(broker.pid)], log, lambda: bench(load, log))
    finally:
        peers.end("broker")


def profile_of_the_libraries(peers, log, quick):
    """The same of both ends of the same load, written with the libraries: a generated client and a generated responder."""
    argv = [TOWLINE, "bench", "rpc", "--target", "proxies", "--rounds", "1", "--seconds", "2" if quick else "15"]
    with open(log, "w") as errors:
        load = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True, preexec_fn=die_with_parent)
        try:
            # Their first threads alone: the thin client that loads A in turn has threads of its own.
            threads = [load.pid, child_of(load.pid, "--proxies")]
            return recorded(["-t", ",".join(map(str, threads))], log, lambda: load.wait(PATIENCE))
        finally:
            if load.poll() is None:
                load.terminate()
            load.wait()


def child_of(parent, argument):
    """The child that was started with this argument, as soon as it is there."""
    for _ in range(1_000):
        for pid in pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            if argument.encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return int(pid)
        time.sleep(0.01)
    raise Failed(f"no child of {parent} has {argument}")


def recorded(whom, log, load):
    """The functions in which the CPU time of these goes while the load lasts, and the kernel's share of it."""
    if not shutil.which("perf"):
        return {"failed": "there is no perf"}
    data = log.removesuffix(".log") + ".data"
    record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "499", "-g", *whom, "-o", data]
    recording = subprocess.Popen(record, start_new_session=True, preexec_fn=die_with_parent)
    try:
        load()
    finally:
        # It writes its file when it is interrupted.
        recording.send_signal(signal.SIGINT)
        recording.wait(60)
    argv = ["perf", "report", "--no-children", "--sort", "symbol", "-g", "none", "--stdio", "-i", data]
    report = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    symbols = [
        {"percent": float(percent), "kernel": where == "k", "symbol": re.sub(r"(\s+-)+\s*$", "", symbol).strip()}
        for percent, where, symbol in re.findall(r"^\s+([\d.]+)%\s+\[(.)\] (.*)$", report.stdout, re.M)
    ]
    if not symbols:
        return {"failed": f"perf has no samples: {report.stderr.strip()[:200]}"}
    kernel = sum(symbol["percent"] for symbol in symbols if symbol["kernel"])
    share = {"kernel": round(kernel, 1), "user": round(sum(symbol["percent"] for symbol in symbols) - kernel, 1)}
    return {"output": {"share": share, "symbols": symbols[:25]}}


ALL = [
    Step("rpc", compared("rpc", ["nats", "rsocket_rust"], ["--preset", "marks"])),
    Step("half", compared("rpc", [], ["--rate", "half"])),
    Step("defibus", beside_java("defibus", seconds=DEFIBUS_WARM), needs="defibus"),
    Step("defibus_queued", beside_java("defibus", ["--folder", "target/speed/scratch", "--target", "queued"], DEFIBUS_WARM), needs="defibus"),
    Step("stream", compared("stream", ["nats", "rsocket_rust"])),
    Step("fnf", compared("fnf", ["nats", "rsocket_rust"])),
    Step("publish", topics("publish", {"redis": "redis_always", "jetstream": "jetstream_always", "rabbitmq": "rabbitmq"})),
    Step("publish_rocketmq", publish_beside_rocketmq),
    Step("publish_topics", topics("publish", {}, ["--shape", "8x32", "--topics", "1000"])),
    Step("publish_os", topics("publish", {"redis": "redis_everysec", "jetstream": "jetstream_default"},
                              ["--shape", "8x32", "--durability", "os"])),
    Step("publish_many", topics("publish", {}, ["--pipelined"])),
    Step("consume", topics("consume", {"jetstream": "jetstream_default", "rabbitmq": "rabbitmq"}, window=filled)),
    Step("scale", scale),
    Step("curves", compared("rpc", [], ["--preset", "curves"])),
    Step("flat", flat),
    Step("proxies", proxies_and_grpc),
    Step("starter", beside_java("java", ["--metadata", "starter"]), needs="java_broker"),
    Step("idle", idle(10_000)),
    Step("idle_3000", idle(3_000)),
    Step("idle_3000_java", idle(3_000, "java"), needs="java_broker"),
    Step("checks", checks),
    Step("profile", profile),
    Step("profile_libraries", profile_of_the_libraries),
]

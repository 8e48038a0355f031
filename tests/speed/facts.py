"""What the figures of a run depend on."""

import os
import pathlib
import platform
import re
import subprocess

from peers import PYTHON


def of_the_machine(quick, with_java):
    return {
        "quick": quick,
        "revision": said("git", "rev-parse", "--short=12", "HEAD"),
        "changed": bool(said("git", "status", "--porcelain", "--untracked-files=no")),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": first(r"model name\s*: (.*)", "/proc/cpuinfo"),
        "memory_gib": round(int(first(r"MemTotal:\s*(\d+)", "/proc/meminfo") or 0) / 2**20),
        "kernel": f"{platform.system()} {platform.release()}",
        "rustc": said("rustc", "--version"),
        "load_before": os.getloadavg()[0],
        "versions": {
            "nats": said(PYTHON + "nats-server", "--version").removeprefix("nats-server: v"),
            "rsocket_rust": locked("rsocket_rust", "Cargo.lock"),
            "redis": first_match(r"v=(\S+)", said("redis-server", "--version")),
            "rabbitmq": first_match(r"^Version: (\S+)", said("dpkg", "-s", "rabbitmq-server")),
            "rocketmq": first_match(r"<version>(\d+\.\d[^<]*)<", pathlib.Path("tests/speed/rocketmq/pom.xml").read_text()),
            "tonic": locked("tonic", "tests/speed/tonic/Cargo.lock"),
            "jdk": first_line(said("java", "-version", stream="stderr")) if with_java else "",
        },
    }


def said(*argv, stream="stdout"):
    """What a program says of itself; nothing if there is none."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return getattr(done, stream).strip()


def first_line(text):
    return text.splitlines()[0] if text else ""


def first(pattern, path):
    with open(path) as file:
        return first_match(pattern, file.read())


def first_match(pattern, text):
    match = re.search(pattern, text, re.M)
    return match.group(1).strip() if match else ""


def locked(crate, path):
    return first(rf'name = "{crate}"\nversion = "([^"]*)"', path)

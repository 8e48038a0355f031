"""The processes the broker is compared with: each started once, on loopback, and ended with the run."""

import os
import shutil
import socket
import subprocess

from process import Failed, Process

TOWLINE = "target/release/towline"
PYTHON = "target/speed/python/bin/"
PROXY = "target/release/examples/rsocket-rust-proxy"
TONIC = "target/speed/tonic/release/tonic-echo"


def free_port():
    """A port that was free a moment ago, for programs that cannot pick one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Peers:
    """All that runs beside the bench; `end` ends them, the last one first."""

    def __init__(self, logs, java_jar):
        self.logs, self.java_jar, self.running, self.failed = logs, java_jar, {}, {}

    def start(self, name):
        """Starts a peer, once; one that fails is reported, and left out from then on."""
        if name in self.running:
            return self.running[name]
        if name in self.failed:
            return None
        try:
            self.running[name] = getattr(self, "_" + name)()
            return self.running[name]
        except (Failed, OSError) as error:
            self.failed[name] = str(error)
            print(f"left out: {name}: {error}", flush=True)
            return None

    def end(self, name=None):
        for each in [name] if name else reversed(list(self.running)):
            if each in self.running:
                self.running.pop(each).end()

    def _started(self, name, argv, ready):
        return Process(argv, ready, os.path.join(self.logs, name + ".log"))

    def _nats(self):
        argv = [PYTHON + "nats-server", "-a", "127.0.0.1", "-p", "-1"]
        return self._started("nats", argv, r"client connections on (127\.0\.0\.1:\d+)")

    def _responder(self):
        return self._started("responder", [TOWLINE, "bench", "responder", "--die-with-stdin"], r"ready tcp://([\d.:]+)")

    def _rsocket_rust(self):
        responder = self.start("responder")
        if responder is None:
            raise Failed("there is no responder behind it")
        return self._started("rsocket_rust", [PROXY, "--to", responder.address], r"ready tcp://([\d.:]+)")

    def _tonic(self):
        return self._started("tonic", [TONIC, "serve"], r"ready tcp://([\d.:]+)")

    def _broker(self):
        """Our own, for what is measured from outside: the profile."""
        argv = [TOWLINE, "serve", "--listen", "tcp://127.0.0.1:0", "--http", "off", "--management", "127.0.0.1:0",
                "--log", "warn"]
        return self._started("broker", argv, r"towline ready .*tcp://([\d.:]+)")

    def _java(self):
        if not self.java_jar:
            raise Failed("no --java-broker given")
        if not shutil.which("java"):
            raise Failed("there is no java")
        port = free_port()
        argv = ["java", "-jar", self.java_jar, f"--rsocket.broker.listen={port}", "--server.address=127.0.0.1",
                f"--server.port={free_port()}", "--management.server.address=127.0.0.1",
                f"--management.server.port={free_port()}"]
        java = self._started("java", argv, r"(Started \w+ in )")
        java.address = f"127.0.0.1:{port}"
        return java


def collect_garbage(pid, until):
    """Full collections of a JVM again and again, so that its memory is what it needs and not what it was given."""
    while shutil.which("jcmd") and not until.wait(3):
        subprocess.run(["jcmd", str(pid), "GC.run"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

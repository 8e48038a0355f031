"""The processes the broker is compared with: each started once, on loopback, and ended with the run."""

import os
import shutil
import socket
import subprocess

from process import Failed, Process

TOWLINE = "target/release/towline"
PYTHON = "target/speed/python/bin/"
ROCKETMQ = "target/speed/rocketmq"
PROXY = "target/release/examples/rsocket-rust-proxy"
TONIC = "target/speed/tonic/release/tonic-echo"


def free_port():
    """A port that was free a moment ago, for programs that cannot pick one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Peers:
    """All that runs beside the bench; `end` ends them, the last one first."""

    def __init__(self, logs, built, scratch, is_isolated):
        # Nothing but what is started here can reach it.
        self.is_isolated = is_isolated
        # `built`: where those are that have to be built from their public source.
        self.logs, self.built, self.running, self.failed = logs, built, {}, {}
        # Where those that keep something keep it; it is gone when they are.
        self.scratch = scratch

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
            shutil.rmtree(self._folder(each), ignore_errors=True)

    def _started(self, name, argv, ready, **more):
        return Process(argv, ready, os.path.join(self.logs, name + ".log"), **more)

    def _folder(self, name):
        return os.path.abspath(os.path.join(self.scratch, name))

    def _fresh(self, name):
        """An empty folder for what it keeps."""
        folder = self._folder(name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        return folder

    def _nats(self):
        argv = [PYTHON + "nats-server", "-a", "127.0.0.1", "-p", "-1"]
        return self._started("nats", argv, r"client connections on (127\.0\.0\.1:\d+)")

    def _jetstream_always(self):
        return self._jetstream("jetstream_always", "sync_interval: always")

    def _jetstream_default(self):
        return self._jetstream("jetstream_default", "")

    def _jetstream(self, name, sync):
        folder = self._fresh(name)
        config = os.path.join(folder, "nats.conf")
        with open(config, "w") as file:
            file.write(f'listen: "127.0.0.1:-1"\njetstream {{ store_dir: "{folder}", max_file_store: 20GB, {sync} }}\n')
        return self._started(name, [PYTHON + "nats-server", "-c", config], r"client connections on (127\.0\.0\.1:\d+)")

    def _redis_always(self):
        return self._redis("redis_always", "always")

    def _redis_everysec(self):
        return self._redis("redis_everysec", "everysec")

    def _redis(self, name, sync):
        if not shutil.which("redis-server"):
            raise Failed("there is no redis-server")
        port = free_port()
        # Without rewriting its log meanwhile, which would cost it.
        argv = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", self._fresh(name), "--appendonly", "yes",
                "--appendfsync", sync, "--save", "", "--auto-aof-rewrite-percentage", "0"]
        redis = self._started(name, argv, r"(Ready to accept connections)")
        redis.address = f"127.0.0.1:{port}"
        return redis

    def _epmd(self):
        if not shutil.which("epmd"):
            raise Failed("there is no Erlang")
        port = free_port()
        epmd = self._started("epmd", ["epmd", "-d", "-address", "127.0.0.1", "-port", str(port)], r"(entering the main select|running)")
        epmd.address = str(port)
        return epmd

    def _rabbitmq(self):
        # The package's own script in PATH runs it as another user, with the folders of the system.
        server = "/usr/lib/rabbitmq/bin/rabbitmq-server"
        if not os.path.exists(server):
            raise Failed("there is no rabbitmq-server")
        epmd = self.start("epmd")
        if epmd is None:
            raise Failed(self.failed["epmd"])
        folder, port = self._fresh("rabbitmq"), free_port()
        environment = {
            "HOME": folder, "RABBITMQ_NODENAME": f"bench{port}@localhost", "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port), "RABBITMQ_DIST_PORT": str(free_port()), "ERL_EPMD_PORT": epmd.address,
            "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_MNESIA_BASE": folder, "RABBITMQ_LOG_BASE": folder, "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": os.path.join(folder, "plugins"), "RABBITMQ_CONF_ENV_FILE": os.path.join(folder, "none"),
            "RABBITMQ_CONFIG_FILE": os.path.join(folder, "none"), "RABBITMQ_PID_FILE": os.path.join(folder, "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        rabbitmq = self._started("rabbitmq", [server], r"(completed with|startup complete)", environment=environment, program="beam.smp")
        rabbitmq.address = f"127.0.0.1:{port}"
        return rabbitmq

    def _rocketmq(self):
        if not os.path.isdir(ROCKETMQ):
            raise Failed("there is no RocketMQ")
        if not self.is_isolated:
            raise Failed("RocketMQ listens on every address, and there is no network of its own for it: only root may make one")
        folder, port = self._fresh("rocketmq"), free_port()
        config = os.path.join(folder, "broker.conf")
        with open(config, "w") as file:
            file.write(f"brokerIP1=127.0.0.1\nlistenPort={port}\nhaListenPort={free_port()}\nflushDiskType=SYNC_FLUSH\n"
                       f"storePathRootDir={folder}/store\nstorePathCommitLog={folder}/store/commitlog\n"
                       # Else it refuses what it has not come to within these times, as it does while it is not compiled yet.
                       "autoCreateTopicEnable=true\nwaitTimeMillsInSendQueue=30000\nosPageCacheBusyTimeOutMills=30000\n")
        argv = ["java", "-Xms2g", "-Xmx2g", f"-Duser.home={folder}", "-cp", ROCKETMQ + "/*",
                "org.apache.rocketmq.broker.BrokerStartup", "-c", config]
        ready = r"The broker\[[^,\]]*, ([\d.:]+)\] boot success"
        return self._started("rocketmq", argv, ready, environment={"ROCKETMQ_HOME": folder})

    def _defibus(self):
        if not self.built["defibus"]:
            raise Failed("no --defibus given")
        if not self.is_isolated:
            raise Failed("DeFiBus listens on every address, and there is no network of its own for it: only root may make one")
        folder, port = self._fresh("defibus"), free_port()
        os.makedirs(os.path.join(folder, "conf"))
        with open(os.path.join(folder, "conf", "logback_broker.xml"), "w") as file:
            file.write('<configuration><root level="WARN"/></configuration>\n')
        config = os.path.join(folder, "conf", "broker.properties")
        with open(config, "w") as file:
            # As its own file says, but that the folder is on the disk; and as patient as RocketMQ above.
            file.write(f"brokerClusterName=bench\nbrokerIP1=127.0.0.1\nlistenPort={port}\nbrokerRole=ASYNC_MASTER\n"
                       f"useReentrantLockWhenPutMessage=true\nstorePathRootDir={folder}/store\n"
                       f"storePathCommitLog={folder}/store/commitlog\n"
                       "waitTimeMillsInSendQueue=30000\nosPageCacheBusyTimeOutMills=30000\n")
        # It reaches into what Java 8 left open.
        opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.nio", "sun.nio.ch", "jdk.internal.ref")]
        argv = ["java", "-Xms2g", "-Xmx2g", f"-Duser.home={folder}", *opened, "-cp", self.built["defibus"] + "/*",
                "com.webank.defibus.broker.DeFiBusBrokerStartup", "-c", config]
        ready = r"The broker\[[^,\]]*, ([\d.:]+)\] boot success"
        return self._started("defibus", argv, ready, environment={"ROCKETMQ_HOME": folder})

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
        if not self.built["java_broker"]:
            raise Failed("no --java-broker given")
        if not shutil.which("java"):
            raise Failed("there is no java")
        port = free_port()
        argv = ["java", "-jar", self.built["java_broker"], f"--rsocket.broker.listen={port}", "--server.address=127.0.0.1",
                f"--server.port={free_port()}", "--management.server.address=127.0.0.1",
                f"--management.server.port={free_port()}"]
        java = self._started("java", argv, r"(Started \w+ in )")
        java.address = f"127.0.0.1:{port}"
        return java


def collect_garbage(pid, until):
    """Full collections of a JVM again and again, so that its memory is what it needs and not what it was given."""
    while shutil.which("jcmd") and not until.wait(3):
        subprocess.run(["jcmd", str(pid), "GC.run"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

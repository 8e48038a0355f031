"""The ratios the broker is to reach, and what a run found of each."""

from dataclasses import dataclass

BASE = {"connections": 8, "in_flight": 32, "size": 128}
SINGLE = {"connections": 1, "in_flight": 1, "size": 128}
# By how much more a routed request may cost with many services or instances: marks as a factor.
FLAT_FIRST, FLAT_GOAL = 1.2, 1.05


@dataclass(frozen=True)
class Mark:
    number: str
    what: str
    against: str
    first: float
    goal: float
    # The step it is found in, and where: a quantity of a shape against a side.
    step: str = ""
    quantity: str = "rate"
    shape: dict | None = None
    side: str = ""
    unit: str = ""

    @property
    def more_is_better(self):
        return self.quantity == "rate"

    def is_met(self, limit, value):
        return value >= limit if self.more_is_better else value <= limit


RPC = "request-response"
TOPIC = {**BASE, "topics": 1, "durability": "disk"}
ALL = [
    Mark("1", f"{RPC} 8x32 128 B", "A", 0.5, 1.0, "rpc", "rate", BASE, "A"),
    Mark("2", f"{RPC} 64x1 128 B", "A", 0.8, 1.5, "rpc", "rate", {"connections": 64, "in_flight": 1, "size": 128}, "A"),
    Mark("3", f"{RPC} 8x32 4 KB", "A", 0.8, 1.05, "rpc", "rate", {**BASE, "size": 4096}, "A"),
    Mark("4", "p50 1x1 128 B", "A", 1.25, 1.08, "rpc", "p50_us", SINGLE, "A"),
    Mark("5", "CPU a round trip 8x32 128 B", "A", 2.5, 1.4, "rpc", "server_cpu_us", BASE, "A"),
    Mark("6", f"{RPC} 8x32 128 B", "NATS", 2, 4.5, "rpc", "rate", BASE, "nats"),
    Mark("7", "p50 1x1 128 B", "NATS", 0.75, 0.5, "rpc", "p50_us", SINGLE, "nats"),
    Mark("8", f"{RPC} 8x32 128 B", "rsocket_rust proxy", 5, 12, "rpc", "rate", BASE, "rsocket_rust"),
    Mark("8b", f"{RPC} 8x32 128 B, starter's metadata", "alibaba-rsocket-broker", 6, 13, "starter", "rate", BASE, "java"),
    Mark("9", "stream items 1 -> 1", "NATS publish-subscribe", 2, 6, "stream", "rate", None, "nats"),
    Mark("9", "fire-and-forget 1 -> 1", "NATS publish-subscribe", 2, 6, "fnf", "rate", None, "nats"),
    Mark("10", "p99 at half of the broker's capacity", "A", 2.0, 1.2, "half", "p99_us", None, "A"),
    Mark("11", "durable publish 8x32 128 B", "Redis, appendfsync always", 1.5, 4, "publish", "rate", TOPIC, "redis"),
    Mark("12", "durable publish 1x256 128 B", "JetStream, sync_interval always", 20, 150, "publish", "rate",
         {**TOPIC, "connections": 1, "in_flight": 256}, "jetstream"),
    Mark("13", "durable publish 8x32 128 B", "RabbitMQ, quorum queue", 5, 15, "publish", "rate", TOPIC, "rabbitmq"),
    Mark("13b", "durable publish 8x32 128 B", "RocketMQ, SYNC_FLUSH", 15, 50, "publish_rocketmq", "rate", TOPIC, "rocketmq"),
    Mark("13c", f"{RPC} 8x32 128 B", "DeFiBus, `request`", 50, 100, "defibus", "rate", BASE, "defibus"),
    Mark("13c", f"{RPC} by way of a durable topic 8x32 128 B", "DeFiBus, `request`", 10, 40, "defibus_queued", "rate", BASE,
         "defibus"),
    Mark("14", "durable publish 8x32 128 B, one topic", "group commit", 0.5, 0.8, "publish", "rate", TOPIC, "A"),
    Mark("14", "durable publish 8x32 128 B, 1,000 topics", "group commit", 0.4, 0.8, "publish_topics", "rate",
         {**TOPIC, "topics": 1000}, "A"),
    Mark("15", "publish 8x32 128 B, durability os", "Redis, appendfsync everysec", 2, 5, "publish_os", "rate", None, "redis"),
    Mark("15", "publish 8x32 128 B, durability os", "JetStream", 4, 12, "publish_os", "rate", None, "jetstream"),
    Mark("16", "consume with acks 1x256 128 B", "JetStream pull, explicit ack", 2, 6, "consume", "rate", None, "jetstream"),
    Mark("16", "consume with acks 1x256 128 B", "RabbitMQ, quorum queue", 5, 15, "consume", "rate", None, "rabbitmq"),
    Mark("17b", "memory with 3,000 idle connections", "alibaba-rsocket-broker", 0.1, 0.05, "", "memory"),
    Mark("18", "private memory an idle connection, KiB", "-", 6, 3, "", "memory"),
    Mark("19", "resident memory without connections, MiB", "-", 15, 6, "", "memory"),
    Mark("20", "generated proxies through the broker 8x32 128 B", "tonic, direct", 3, 8),
    Mark("21", "CPU a request, most services / one", "-", FLAT_FIRST, FLAT_GOAL, "", "cost"),
    Mark("21", "CPU a request, most instances / one", "-", FLAT_FIRST, FLAT_GOAL, "", "cost"),
]


def found(results):
    """[(mark, {"median", "min", "max"} or none)]"""
    return [(mark, value_of(mark, results)) for mark in ALL]


def value_of(mark, results):
    if mark.step:
        for shape in output(results, mark.step).get("shapes", []):
            if mark.shape is None or all(shape["shape"].get(key) == value for key, value in mark.shape.items()):
                return shape["ratios"].get(mark.side, {}).get(mark.quantity)
        return None
    match mark.number:
        case "17b":
            ours, theirs = (figure(results, step, "idle_resident_mib") for step in ("idle_3000", "idle_3000_java"))
            return alone(ours / theirs) if ours and theirs else None
        case "18":
            return alone(figure(results, "idle", "idle_private_kib_each"))
        case "19":
            return alone(figure(results, "idle", "alone_resident_mib"))
        case "20":
            return output(results, "proxies").get("ratio")
        case _:
            return growth(results, "services" if "services" in mark.what else "instances")


def output(results, step):
    return results.get(step, {}).get("output") or {}


def figure(results, step, name):
    return output(results, step).get("figures", {}).get(name)


def alone(value):
    """One measurement: no spread."""
    return None if value is None else {"median": value, "min": value, "max": value}


def growth(results, axis):
    """The broker's CPU a request where there are most, over that of one in the same round."""
    points = output(results, "flat").get(axis, {})
    return points[max(points, key=int)]["ratio"] if len(points) > 1 else None


def curve(results, axis):
    """The points along which only `axis` differs: [(where, shape)]."""
    shapes = [shape for shape in output(results, "curves").get("shapes", []) if axis in shape["shape"]]
    groups = {}
    for shape in shapes:
        rest = tuple(sorted((key, str(value)) for key, value in shape["shape"].items() if key != axis))
        groups.setdefault(rest, {})[shape["shape"][axis]] = shape
    longest = max(groups.values(), key=len, default={})
    return sorted(longest.items()) if len(longest) > 1 else []

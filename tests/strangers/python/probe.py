"""rsocket-py, unmodified, against Towline: `probe.py serve <url>` and `probe.py call <url>`, see tests/strangers/script.rs."""

import asyncio
import json
import os
import sys
import threading
import uuid
from pathlib import Path

from rsocket.error_codes import ErrorCode
from rsocket.exceptions import RSocketProtocolError
from rsocket.extensions.helpers import composite, route
from rsocket.helpers import create_error_future, create_future
from rsocket.payload import Payload
from rsocket.streams.error_stream import ErrorStream
from rsocket.streams.stream_from_async_generator import StreamFromAsyncGenerator
from rsocket.streams.stream_from_generator import StreamFromGenerator

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "examples" / "python"))
import towline  # noqa: E402
from connection import Handler, Items, connect, data, value  # noqa: E402

SOON = 15
# What a channel's other side may send before it is read.
CREDIT = 8


def to(where, *arguments):
    """A request of that method."""
    return Payload(json.dumps(arguments).encode() if arguments else b"", composite(route(where)))


class Probe(Handler):
    """`test.Probe`, as tests/strangers/probe.rs has it."""

    noted = []
    counting = 0

    def __init__(self):
        super().__init__()
        self.unary = {
            "echo": (["text"], lambda text: text),
            "add": (["a", "b"], lambda a, b: a + b),
            "find": (["id"], lambda id: {"id": 7, "name": "seven"} if id == 7 else None),
            "fail": (["text"], self.fail),
            "notes": ([], lambda: self.noted),
            "running": ([], lambda: Probe.counting),
        }

    @staticmethod
    def fail(text):
        raise RuntimeError(text)

    @staticmethod
    def unknown(payload):
        name = ".".join(towline.called(payload.metadata))
        return RSocketProtocolError(ErrorCode.INVALID, data=f"RST-201404: No service handler found: {name}")

    async def request_response(self, payload):
        _, method = towline.called(payload.metadata)
        if method == "ping":
            return create_future(Payload(b""))
        if method not in self.unary:
            return create_error_future(self.unknown(payload))
        names, handler = self.unary[method]
        try:
            return create_future(data(handler(*towline.arguments(payload.data, *names))))
        except Exception as error:
            return create_error_future(error)

    async def request_fire_and_forget(self, payload):
        if towline.called(payload.metadata)[1] == "note":
            self.noted.extend(towline.arguments(payload.data, "text"))

    async def request_stream(self, payload):
        if towline.called(payload.metadata)[1] != "count":
            return ErrorStream(self.unknown(payload))
        (to,) = towline.arguments(payload.data, "to")
        Probe.counting += 1
        numbers = ((data(number), number == to) for number in range(1, to + 1))
        # The library leaves a generator that ended with its last item to the garbage collector: these are sure.
        return StreamFromGenerator(lambda: numbers, on_cancel=self.counted, on_complete=self.counted)

    @staticmethod
    def counted():
        Probe.counting -= 1

    async def request_channel(self, payload):
        _, method = towline.called(payload.metadata)
        said = Items(CREDIT, refill=True)
        if method == "sum":
            return StreamFromAsyncGenerator(lambda: self.sum(said)), said
        if method == "chat":
            (prefix,) = towline.arguments(payload.data, "prefix")
            return StreamFromAsyncGenerator(lambda: self.chat(prefix, said)), said
        return ErrorStream(self.unknown(payload)), None

    @staticmethod
    async def sum(numbers):
        yield data(sum([number async for number in numbers])), True

    @staticmethod
    async def chat(prefix, said):
        async for text in said:
            yield data(f"{prefix}: {text}"), False


async def serve(url):
    probe = Probe()
    setup = towline.setup(name="rsocket-py", uuid=str(uuid.uuid4()), services=["test.Probe"])
    client = await connect(url, probe, setup)
    # Behind SETUP: its answer comes when the services are in force.
    health = await asyncio.wait_for(client.request_response(to("towline.Health.check", "test.Probe")), SOON)
    assert value(health) == {"status": 1}, health
    print("ready", flush=True)
    loop = asyncio.get_running_loop()

    def until_the_end():
        while os.read(0, 1024):
            pass
        loop.call_soon_threadsafe(probe.closed.set)

    threading.Thread(target=until_the_end, daemon=True).start()
    await probe.closed.wait()
    await client.close()


async def call(url):
    client = await connect(url)
    script = Script(client)
    for check in CHECKS:
        try:
            await asyncio.wait_for(getattr(script, check.replace("-", "_"))(), SOON)
            print(f"ok {check}", flush=True)
        except Exception as error:
            print(f"failed {check}: {error!r}", flush=True)
    await client.close()


CHECKS = (
    "echo add ping find fail note count credit cancel sum chat large unknown-method unknown-service".split()
)


class Script:
    """A method for each check of tests/strangers/script.rs."""

    def __init__(self, client):
        self.client = client

    async def ask(self, method, *arguments):
        return value(await self.client.request_response(to(f"test.Probe.{method}", *arguments)))

    def stream(self, n, *arguments):
        items = Items()
        self.client.request_stream(to("test.Probe.count", *arguments)).initial_request_n(n).subscribe(items)
        return items

    async def channel(self, method, said, *arguments):
        items = Items(refill=True)
        sent = StreamFromGenerator(lambda: ((data(item), nth == len(said)) for nth, item in enumerate(said, 1)))
        channel = self.client.request_channel(to(f"test.Probe.{method}", *arguments), sent)
        channel.initial_request_n(1).subscribe(items)
        return [item async for item in items]

    async def soon(self, is_so):
        while not await is_so():
            await asyncio.sleep(0.02)

    async def refused(self, where, code, text):
        try:
            same(await self.client.request_response(to(where, "?")), "an error")
        except RSocketProtocolError as error:
            assert error.error_code == code and error.data.startswith(text), error

    async def echo(self):
        same(await self.ask("echo", "héllo wörld"), "héllo wörld")

    async def add(self):
        same(await self.ask("add", 40, 2), 42)

    async def ping(self):
        same(await self.ask("ping"), None)

    async def find(self):
        same(await self.ask("find", 7), {"id": 7, "name": "seven"})
        same(await self.ask("find", 8), None)

    async def fail(self):
        # What the library makes of APPLICATION_ERROR.
        try:
            same(await self.ask("fail", "no such thing"), "an error")
        except RuntimeError as error:
            same(str(error), "no such thing")

    async def note(self):
        text = uuid.uuid4().hex
        await self.client.fire_and_forget(to("test.Probe.note", text))

        async def is_noted():
            return text in await self.ask("notes")

        await self.soon(is_noted)

    async def count(self):
        items = self.stream(7, 100)
        counted = []
        async for number in items:
            counted.append(number)
            if len(counted) % 7 == 0:
                items.subscription.request(7)
        same(counted, list(range(1, 101)))

    async def credit(self):
        items = self.stream(3, 1000)
        expected = 0
        for more in (3, 2):
            for _ in range(more):
                expected += 1
                same(value(await items.queue.get()), expected)
            for _ in range(10):
                await self.ask("echo", "meanwhile")
            same(items.queue.qsize(), 0)
            if expected == 3:
                items.subscription.request(2)
        items.subscription.cancel()

    async def cancel(self):
        items = self.stream(5, 1_000_000_000)
        for expected in range(1, 6):
            same(value(await items.queue.get()), expected)
        items.subscription.cancel()

        async def none_runs():
            return await self.ask("running") == 0

        await self.soon(none_runs)

    async def sum(self):
        same(await self.channel("sum", list(range(1, 101))), [5050])

    async def chat(self):
        same(await self.channel("chat", ["hi", "bye"], "a"), ["a: hi", "a: bye"])

    async def large(self):
        back = await self.ask("echo", "x" * 300_000)
        assert back == "x" * 300_000, f"{len(back)} letters came back"

    async def unknown_method(self):
        await self.refused("test.Probe.nothing", ErrorCode.INVALID, "RST-201404")

    async def unknown_service(self):
        await self.refused("test.Nobody.echo", ErrorCode.INVALID, "RST-900404")


def same(is_, should):
    assert is_ == should, f"{is_!r}, not {should!r}"


if __name__ == "__main__":
    mode, where = sys.argv[1:]
    asyncio.run({"serve": serve, "call": call}[mode](where))

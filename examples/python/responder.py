"""Serves `demo.Greeter`, version 1, in JSON, with a broker running (`cargo run`):

    pip install rsocket==0.4.20
    python examples/python/responder.py [tcp://127.0.0.1:9999]

The connection is the registration. `requester.py` calls it, and so does `cargo run --example greeter-requester -- --json`.
"""

import asyncio
import json
import os
import sys
import uuid

from rsocket.error_codes import ErrorCode
from rsocket.exceptions import RSocketProtocolError
from rsocket.helpers import create_error_future, create_future
from rsocket.streams.error_stream import ErrorStream
from rsocket.streams.stream_from_async_generator import StreamFromAsyncGenerator
from rsocket.streams.stream_from_generator import StreamFromGenerator

import towline
from connection import Handler, Items, connect, data, request

SETUP = towline.setup(name="greeter", uuid=str(uuid.uuid4()), services=[("demo.Greeter", "1")])


class Refused(Exception):
    """A typed error: the library sends its text with APPLICATION_ERROR."""

    def __init__(self, code, message):
        super().__init__(json.dumps({"code": code, "message": message}))


def greeting(name):
    if not name:
        raise Refused("name-missing", "who is to be greeted?")
    return {"text": f"Hello {name}!", "by": f"python {os.getpid()}"}


def unknown(payload):
    name = ".".join(towline.called(payload.metadata))
    return RSocketProtocolError(ErrorCode.INVALID, data=f"RST-201404: No service handler found: {name}")


class Greeter(Handler):
    # These are awaited before the next frame is read: whatever takes time belongs into a task, which is a future too.
    async def request_response(self, payload):
        if towline.called(payload.metadata)[1] != "greet":
            return create_error_future(unknown(payload))
        try:
            (name,) = towline.arguments(payload.data, "name")
            return create_future(data(greeting(name)))
        except Exception as error:
            return create_error_future(error)

    async def request_fire_and_forget(self, payload):
        if towline.called(payload.metadata)[1] == "wave":
            print("waving at", *towline.arguments(payload.data, "name"), flush=True)

    async def request_stream(self, payload):
        if towline.called(payload.metadata)[1] != "countDown":
            return ErrorStream(unknown(payload))
        (start,) = towline.arguments(payload.data, "from")
        # Made one by one, as the caller reads them; each says whether it is the last.
        return StreamFromGenerator(lambda: ((data(number), number == 1) for number in range(start, 0, -1)))

    async def request_channel(self, payload):
        method, said = towline.called(payload.metadata)[1], Items(ahead=8, refill=True)
        if method == "greetAll":

            async def greet_all():
                yield data(greeting(", ".join([name async for name in said]))), True

            return StreamFromAsyncGenerator(greet_all), said
        if method == "chat":
            (room,) = towline.arguments(payload.data, "room")

            async def chat():
                async for text in said:
                    yield data(f"[{room}] {text}"), False

            return StreamFromAsyncGenerator(chat), said
        return ErrorStream(unknown(payload)), None


async def main(url="tcp://127.0.0.1:9999"):
    while True:
        greeter = Greeter()
        try:
            client = await connect(url, greeter, SETUP)
            # Answered behind SETUP: the services are in force then.
            await client.request_response(request("towline.Health.check"))
            print("ready", flush=True)
            await greeter.closed.wait()
            await client.close()
        except (OSError, RSocketProtocolError) as error:
            print(f"not connected: {error}", file=sys.stderr)
        await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

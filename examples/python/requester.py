"""Calls `demo.Greeter`, version 1, in every shape, with a broker and a responder running (`cargo run`, `responder.py` or
`cargo run --example greeter-responder`):

    pip install rsocket==0.4.20
    python examples/python/requester.py [tcp://127.0.0.1:9999]
"""

import asyncio
import json
import sys

from rsocket.awaitable.awaitable_rsocket import AwaitableRSocket
from rsocket.awaitable.collector_subscriber import CollectorSubscriber
from rsocket.streams.stream_from_generator import StreamFromGenerator

from connection import connect, data, request, value


def items(*values):
    """Sent as the other side asks for them; each says whether it is the last."""
    return StreamFromGenerator(lambda: ((data(item), nth == len(values)) for nth, item in enumerate(values, 1)))


async def main(url="tcp://127.0.0.1:9999"):
    client = await connect(url)

    async def ask(method, *arguments):
        return value(await client.request_response(request(f"demo.Greeter.{method}:1", *arguments)))

    greeting = await ask("greet", "Ada")
    print(f"greet: {greeting['text']} (by {greeting['by']})")

    # APPLICATION_ERROR is a RuntimeError here; all that the broker refuses is an RSocketProtocolError.
    try:
        await ask("greet", "")
    except RuntimeError as error:
        typed = json.loads(str(error))
        print(f"greet nobody: {typed['code']}: {typed['message']}")

    await client.fire_and_forget(request("demo.Greeter.wave:1", "Ada"))
    print("wave: sent")

    # A long stream, of which only the beginning is asked for and sent: four at a time, cancelled after three.
    numbers = CollectorSubscriber(limit_rate=4, limit_count=3)
    client.request_stream(request("demo.Greeter.countDown:1", 1000)).initial_request_n(4).subscribe(numbers)
    print("count_down:", [value(number) for number in await numbers.run()])

    # The first payload of a channel has the arguments; then come the items.
    channel = AwaitableRSocket(client).request_channel
    (greeting,) = await channel(request("demo.Greeter.greetAll:1"), items("Ada", "Grace"), limit_rate=1)
    print("greet_all:", value(greeting)["text"])
    for heard in await channel(request("demo.Greeter.chat:1", "lobby"), items("hi", "bye"), limit_rate=8):
        # An end that comes alone is an empty payload to the library.
        if heard.data:
            print("chat:", value(heard))

    await client.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""Durable topics, see docs/topics.md, with a broker running (`cargo run`); what a message holds is JSON with an `id`:

    pip install rsocket==0.4.20
    python topics.py create orders '{"maxMessageBytes":1024}'
    python topics.py publish orders '{"id":1}'
    python topics.py publish-many orders < lines-of-json
    python topics.py consume orders billing 100 [id that cannot be handled]
    python topics.py dead-letters orders billing
    python topics.py redrive orders billing

Each takes the address of the broker before all this: tcp://127.0.0.1:9999.
"""

import asyncio
import json
import sys

from rsocket.streams.stream_from_async_generator import StreamFromAsyncGenerator

import towline
from connection import Items, connect, data, request, value

# What the broker may send before it is read.
AHEAD = 64


def message(order):
    """One with an id of its own is stored once, however often it is sent."""
    return {"json": order, "id": f"order-{order['id']}"}


class Said(StreamFromAsyncGenerator):
    """Items, as they are asked for; each says whether it is the last."""

    # The library looks for it when a channel is refused before anything was asked for.
    _generator = None


class Topics:
    """A method for each command."""

    def __init__(self, client):
        self.client = client

    async def ask(self, method, *arguments):
        return value(await self.client.request_response(request(f"towline.{method}", *arguments)))

    def channel(self, asked, said):
        """What comes on a channel: of what is said, the broker asks for so many at a time."""
        answers = Items(refill=True)
        self.client.request_channel(asked, Said(said)).initial_request_n(AHEAD).subscribe(answers)
        return answers

    async def create(self, topic, config="{}"):
        created = await self.ask("Topics.create", topic, json.loads(config))
        print(f"created {created['topic']}")

    async def publish(self, topic, order):
        """Once this is answered the message is on the disk."""
        stored = await self.ask("Queue.publish", topic, message(json.loads(order)))
        print(f"stored {stored['offset']}{', as before' if stored['duplicate'] else ''}")

    async def publish_many(self, topic):
        """Many on one channel: sent as the broker gives credit, each answered by a receipt, in order."""
        orders = [json.loads(line) for line in sys.stdin]

        async def said():
            for nth, order in enumerate(orders, 1):
                yield data(message(order)), nth == len(orders)

        async for receipt in self.channel(request("towline.Queue.publishMany", topic), said):
            error = receipt.get("error")
            print(f"{receipt['n']}: " + (f"refused {error['code']}" if error else f"stored {receipt['offset']}"))

    async def consume(self, topic, group, count, unfit=None):
        """Takes so many messages of a group; what cannot be handled comes again, and in the end is a dead letter."""
        settles = asyncio.Queue()

        async def said():
            # The end of the settles: the broker takes them all, hands over no more and ends the channel.
            for left in range(int(count), 0, -1):
                yield data(await settles.get()), left == 1

        options = {"start": "earliest", "maxAttempts": 3}
        asked = request("towline.Queue.consume", topic, group, options)
        async for delivery in self.channel(asked, said):
            offset, order = delivery["offset"], delivery["json"]
            print(f"got {order['id']}, attempt {delivery['attempt']}", flush=True)
            if str(order["id"]) == unfit:
                settles.put_nowait({"nack": [offset], "delayMs": 0, "reason": "cannot handle it"})
            else:
                settles.put_nowait({"ack": [offset]})

    async def dead_letters(self, topic, group):
        for letter in await self.ask("Topics.deadLetters", topic, group):
            attempts, error = (letter["headers"][f"towline-dead-{name}"] for name in ("attempts", "error"))
            print(f"{letter['offset']}: {letter['json']['id']} after {attempts} attempts: {error}")

    async def redrive(self, topic, group):
        redriven = await self.ask("Topics.redrive", topic, group)
        print(f"moved {redriven['moved']}")


async def main(*arguments):
    url, command, *given = arguments if "://" in arguments[0] else ("tcp://127.0.0.1:9999", *arguments)
    client = await connect(url, setup=towline.setup(name="topics-python"))
    try:
        await getattr(Topics(client), command.replace("-", "_"))(*given)
    except RuntimeError as error:
        # APPLICATION_ERROR: what a topic refuses is JSON, anything else is a text.
        if not str(error).startswith("{"):
            raise
        refused = json.loads(str(error))
        next = f"; {refused['next']}" if "next" in refused else ""
        print(f"refused: {refused['code']}: {refused['message']}{next}")
        return 1
    finally:
        await client.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))

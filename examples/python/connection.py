"""rsocket-py, connected to Towline, and what comes in on a channel. Copy this file and towline.py."""

import asyncio
import json

from reactivestreams.subscriber import DefaultSubscriber
from rsocket.helpers import single_transport_provider
from rsocket.payload import Payload
from rsocket.request_handler import BaseRequestHandler
from rsocket.rsocket_client import RSocketClient
from rsocket.transports.tcp import TransportTCP

import towline


class Handler(BaseRequestHandler):
    """Says why a connection was refused (the library's own handler logs no more than a length), and when it is gone."""

    def __init__(self):
        self.closed = asyncio.Event()

    async def on_error(self, error_code, payload):
        print(f"refused: {error_code.name} {bytes(payload.data).decode()}", flush=True)

    async def on_close(self, rsocket, exception=None):
        self.closed.set()


async def connect(url, handler=None, setup=b""):
    """A client of the broker there: `tcp://host:port`, or `ws://host:port`, which needs aiohttp."""
    if url.startswith("ws://"):
        from rsocket.transports.aiohttp_websocket import TransportAioHttpClient

        transport = TransportAioHttpClient(url)
    else:
        host, _, port = url.partition("://")[2].rpartition(":")
        transport = TransportTCP(*await asyncio.open_connection(host, int(port)))
    handler = handler or Handler()
    client = RSocketClient(
        single_transport_provider(transport),
        handler_factory=lambda: handler,
        metadata_encoding=towline.COMPOSITE,
        data_encoding=towline.JSON,
        setup_payload=Payload(b"", setup),
    )
    await client.connect()
    return client


def request(route, *arguments):
    """A request of that method, `[group!]service.method[:version]`."""
    return Payload(json.dumps(arguments).encode() if arguments else b"", towline.request(route))


def data(value):
    """A value as the payload of an answer or an item."""
    return Payload(json.dumps(value).encode())


def value(payload):
    """The value of an answer or an item."""
    assert towline.data_type(payload.metadata) == towline.JSON, payload.metadata
    return json.loads(bytes(payload.data)) if payload.data else None


class Items(DefaultSubscriber):
    """What the other side sends, one by one: `ahead` may come before they are read, and with `refill` as many again."""

    def __init__(self, ahead=0, refill=False):
        super().__init__()
        self.queue, self.ahead, self.refill = asyncio.Queue(), ahead, refill

    def on_subscribe(self, subscription):
        super().on_subscribe(subscription)
        if self.ahead:
            subscription.request(self.ahead)

    def on_next(self, payload, is_complete=False):
        self.queue.put_nowait(payload)
        if is_complete:
            self.on_complete()

    def on_complete(self):
        self.queue.put_nowait(None)

    def on_error(self, exception):
        self.queue.put_nowait(exception)

    async def __aiter__(self):
        while (item := await self.queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield value(item)
            if self.refill:
                self.subscription.request(1)

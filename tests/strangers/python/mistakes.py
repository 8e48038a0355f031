"""What rsocket-py 0.4.20 shows its user of the mistakes made first: `mistakes.py <url>` prints a line for each."""

import asyncio
import sys
from pathlib import Path

from rsocket.extensions.helpers import composite, route
from rsocket.helpers import single_transport_provider
from rsocket.payload import Payload
from rsocket.request_handler import BaseRequestHandler
from rsocket.rsocket_client import RSocketClient
from rsocket.transports.tcp import TransportTCP

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "examples" / "python"))
import towline  # noqa: E402

SOON = 15


class Telling(BaseRequestHandler):
    """The default only logs the length of the text."""

    async def on_error(self, error_code, payload):
        print(f"on_error: {error_code.name} {bytes(payload.data).decode()}", flush=True)


async def ask(url, **options):
    """Calls a method; prints what comes of it."""
    host, _, port = url.partition("://")[2].rpartition(":")
    transport = TransportTCP(*await asyncio.open_connection(host, int(port)))
    async with RSocketClient(single_transport_provider(transport), **options) as client:
        request = Payload(b'["Ada"]', composite(route("demo.Greeter.greet:1")))
        try:
            await asyncio.wait_for(client.request_response(request), SOON)
        except Exception as error:
            print(f"{type(error).__name__}: {error}", flush=True)


async def main(url):
    await ask(url)
    short = Payload(b"", towline.setup(name="shop", uuid="42"))
    await ask(url, handler_factory=Telling, metadata_encoding=towline.COMPOSITE, setup_payload=short)


asyncio.run(main(*sys.argv[1:]))

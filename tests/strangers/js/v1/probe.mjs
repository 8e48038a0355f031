// rsocket-js 1.0.0-alpha.3, unmodified, against Towline: an adapter for ../probe.mjs.

import composite from "rsocket-composite-metadata";
import core from "rsocket-core";
import tcp from "rsocket-tcp-client";
import websocket from "rsocket-websocket-client";
import { WebSocket } from "ws";
import { COMPOSITE, JSON_TYPE } from "../../../../examples/node/towline.mjs";
import { Items, Outbound } from "../../../../examples/node/flow.mjs";
import { run } from "../probe.mjs";

// What a channel's other side may send before it is read.
const CREDIT = 8;
const onExtension = () => {};

/** What the library calls, as events of `to`. */
const events = (to) => ({
  onExtension,
  onError: (error) => to.error(error),
  onComplete: () => to.end(),
  onNext: (payload, isComplete) => {
    to.next(payload);
    if (isComplete) to.end();
  },
});

/** An error with its code. A new one of this class is but an Error (it is ES5), and so sent as APPLICATION_ERROR. */
function coded({ code = core.ErrorCodes.APPLICATION_ERROR, message }) {
  return Object.setPrototypeOf(new core.RSocketError(code, message), core.RSocketError.prototype);
}

/** Events as calls of the library. */
const calls = (to) => ({
  error: (error) => to.onError(coded(error)),
  end: () => to.onComplete(),
  next: (payload) => to.onNext(payload, false),
});

/** A source of items, as the library calls it. */
const credit = (outbound) => ({ request: (n) => outbound.request(n), cancel: () => outbound.cancel(), onExtension });

const responder = (service) => ({
  requestResponse(payload, to) {
    try {
      to.onNext(service.answer(payload), true);
    } catch (error) {
      calls(to).error(error);
    }
    return { cancel: () => {}, onExtension };
  },
  fireAndForget(payload, to) {
    service.told(payload);
    to.onComplete();
    return { cancel: () => {} };
  },
  requestStream(payload, n, to) {
    const outbound = new Outbound(service.stream(payload), calls(to));
    outbound.request(n);
    return credit(outbound);
  },
  requestChannel(payload, n, isCompleted, to) {
    const said = new Items({ refill: true });
    said.subscription = to;
    const outbound = new Outbound(service.channel(payload, said), calls(to));
    outbound.request(n);
    if (isCompleted) said.end();
    else to.request(CREDIT);
    return { ...events(said), ...credit(outbound) };
  },
});

function transport(url) {
  if (url.startsWith("ws:")) {
    return new websocket.WebsocketClientTransport({ url, wsCreator: (url) => new WebSocket(url) });
  }
  const { hostname: host, port } = new URL(url);
  return new tcp.TcpClientTransport({ connectionOptions: { host, port } });
}

async function connect(url, metadata, service) {
  const connector = new core.RSocketConnector({
    transport: transport(url),
    setup: { metadataMimeType: COMPOSITE, dataMimeType: JSON_TYPE, payload: { data: null, metadata } },
    responder: service && responder(service),
  });
  const rsocket = await connector.connect();
  return {
    closed: new Promise((close) => rsocket.onClose(close)),
    close: () => rsocket.close(),
    ask: (request) =>
      new Promise((onNext, onError) =>
        rsocket.requestResponse(request, { onNext, onError, onComplete: onNext, onExtension }),
      ),
    tell: (request) => rsocket.fireAndForget(request, { onError: console.error, onComplete: () => {} }),
    stream(request, n, items) {
      items.subscription = rsocket.requestStream(request, n, events(items));
    },
    channel(request, n, said, items) {
      const calling = {};
      const outbound = new Outbound(said.values(), calls({
        onNext: (payload) => calling.stream.onNext(payload, false),
        onComplete: () => calling.stream.onComplete(),
        onError: (error) => calling.stream.onError(error),
      }));
      calling.stream = rsocket.requestChannel(request, n, false, { ...events(items), ...credit(outbound) });
      items.subscription = calling.stream;
    },
  };
}

const metadata = (route) =>
  composite.encodeCompositeMetadata([
    [composite.WellKnownMimeType.MESSAGE_RSOCKET_ROUTING, composite.encodeRoute(route)],
  ]);

await run({ connect, metadata }, "rsocket-js 1");

// rsocket-js 0.0.27, unmodified, against Towline: an adapter for ../probe.mjs.

import core from "rsocket-core";
import { Flowable, Single } from "rsocket-flowable";
import tcp from "rsocket-tcp-client";
import websocket from "rsocket-websocket-client";
import { WebSocket } from "ws";
import { COMPOSITE, JSON_TYPE } from "../../../../examples/node/towline.mjs";
import { Items, Outbound } from "../../../../examples/node/flow.mjs";
import { run } from "../probe.mjs";

// What a channel's other side may send before it is read.
const CREDIT = 8;

/** An error of the library, which has code and text of the frame apart; that of a closed connection has neither. */
const told = (error) => (error.source ? Object.assign(new Error(), error.source) : error);

/** Events of `to`, as a subscriber; `n` are asked for at first. */
const subscriber = (to, n) => ({
  onSubscribe(subscription) {
    to.subscription = subscription;
    subscription.request(n);
  },
  onNext: (payload) => to.next(payload),
  onComplete: () => to.end(),
  onError: (error) => to.error(told(error)),
});

/** A subscriber, as events. */
const calls = (to) => ({
  next: (payload) => to.onNext(payload),
  end: () => to.onComplete(),
  error: (error) => to.onError(error),
});

const flowable = (iterator) =>
  new Flowable((to) => {
    const outbound = new Outbound(iterator, calls(to));
    to.onSubscribe({ request: (n) => outbound.request(n), cancel: () => outbound.cancel() });
  });

const responder = (service) => ({
  requestResponse(payload) {
    try {
      return Single.of(service.answer(payload));
    } catch (error) {
      return Single.error(error);
    }
  },
  fireAndForget: (payload) => service.told(payload),
  requestStream: (payload) => flowable(service.stream(payload)),
  // The first payload comes as the others do.
  requestChannel: (payloads) =>
    new Flowable((to) => {
      const said = new Items({ refill: true });
      let outbound;
      const first = (payload) => (outbound = new Outbound(service.channel(payload, said), calls(to)));
      payloads.subscribe({
        ...subscriber(said, 1 + CREDIT),
        onNext: (payload) => (outbound ? said.next(payload) : first(payload)),
      });
      to.onSubscribe({ request: (n) => outbound.request(n), cancel: () => outbound.cancel() });
    }),
});

function transport(url) {
  if (url.startsWith("ws:")) {
    const wsCreator = (url) => new WebSocket(url);
    return new websocket.default({ url, wsCreator }, core.BufferEncoders);
  }
  const { hostname: host, port } = new URL(url);
  return new tcp.default({ host, port }, core.BufferEncoders);
}

async function connect(url, metadata, service) {
  const client = new core.RSocketClient({
    transport: transport(url),
    setup: {
      metadataMimeType: COMPOSITE,
      dataMimeType: JSON_TYPE,
      keepAlive: 20_000,
      lifetime: 90_000,
      payload: metadata && { metadata },
    },
    responder: service && responder(service),
    errorHandler: (error) => console.log(`refused: ${error.message}`),
  });
  const rsocket = await client.connect();
  return {
    closed: new Promise((close) => {
      const onNext = ({ kind }) => ["CLOSED", "ERROR"].includes(kind) && close();
      rsocket.connectionStatus().subscribe({ onNext, onSubscribe: (statuses) => statuses.request(100) });
    }),
    close: () => client.close(),
    ask: (request) =>
      new Promise((onComplete, failed) =>
        rsocket.requestResponse(request).subscribe({ onComplete, onError: (error) => failed(told(error)) }),
      ),
    tell: (request) => rsocket.fireAndForget(request),
    stream: (request, n, items) => rsocket.requestStream(request).subscribe(subscriber(items, n)),
    channel: (request, n, said, items) =>
      rsocket.requestChannel(flowable([request, ...said].values())).subscribe(subscriber(items, n)),
  };
}

const metadata = (route) =>
  core.encodeAndAddWellKnownMetadata(Buffer.alloc(0), core.MESSAGE_RSOCKET_ROUTING, core.encodeRoute(route));

await run({ connect, metadata }, "rsocket-js 0");

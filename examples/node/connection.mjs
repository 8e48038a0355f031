// A connection to the broker with rsocket-js 1.0.0-alpha.3, as it is: callbacks become promises and async iterators.

import core from "rsocket-core";
import tcp from "rsocket-tcp-client";
import { Items, Outbound } from "./flow.mjs";
import { COMPOSITE, dataType, decode, encode, JSON_TYPE, request } from "./towline.mjs";

const onExtension = () => {};

/** An error with its code. A new one of this class is but an Error (it is ES5), and so sent as APPLICATION_ERROR. */
export function coded({ code = core.ErrorCodes.APPLICATION_ERROR, message }) {
  return Object.setPrototypeOf(new core.RSocketError(code, message), core.RSocketError.prototype);
}

/** What the library calls when something comes, as events of `to`. */
export const events = (to) => ({
  onExtension,
  onError: (error) => to.error(error),
  onComplete: () => to.end(),
  onNext: (payload, isComplete) => {
    to.next(payload);
    if (isComplete) to.end();
  },
});

/** What an iterator yields, sent there for each credit, as the library gives it. */
export function source(iterator, there) {
  const outbound = new Outbound(iterator, {
    next: (payload) => there().onNext(payload, false),
    end: () => there().onComplete(),
    error: (error) => there().onError(coded(error)),
  });
  return { request: (n) => outbound.request(n), cancel: () => outbound.cancel(), onExtension };
}

/** The arguments of a call. */
const to = (route, given) => ({ data: given.length ? encode(given) : undefined, metadata: request(route) });

function value(payload) {
  const type = dataType(payload?.metadata);
  if (type !== JSON_TYPE) throw new Error(`the answer is ${type}, not ${JSON_TYPE}`);
  return decode(payload?.data);
}

async function* values(items) {
  for await (const payload of items) yield value(payload);
}

/** Methods are named `service.method` or `service.method:version`; errors have a `code` and a `message`. */
export class Connection {
  /** Connects to the address that is an argument, to `TOWLINE_BROKER`, or to the broker's default. */
  static async open(metadata, responder) {
    const given = process.argv.slice(2).find((argument) => argument.includes("://"));
    const { hostname: host, port } = new URL(given ?? process.env.TOWLINE_BROKER ?? "rsocket://127.0.0.1:9999");
    const connector = new core.RSocketConnector({
      transport: new tcp.TcpClientTransport({ connectionOptions: { host, port } }),
      setup: { metadataMimeType: COMPOSITE, dataMimeType: JSON_TYPE, payload: { data: null, metadata } },
      responder,
    });
    const connection = new Connection();
    connection.rsocket = await connector.connect();
    return connection;
  }

  /** One request, one answer. */
  async ask(route, ...given) {
    const answered = (onNext, onError) =>
      this.rsocket.requestResponse(to(route, given), { onNext, onError, onComplete: onNext, onExtension });
    return value(await new Promise(answered));
  }

  /** One request, no answer. */
  tell(route, ...given) {
    this.rsocket.fireAndForget(to(route, given), { onError: console.error, onComplete: () => {} });
  }

  /** One request, many answers, of which so many come before they are read. */
  stream(route, ahead, ...given) {
    const items = new Items({ refill: true });
    items.subscription = this.rsocket.requestStream(to(route, given), ahead, events(items));
    return values(items);
  }

  /** Many items, which an iterator yields, be it async or not, and many answers. */
  channel(route, ahead, said, ...given) {
    const items = new Items({ refill: true });
    const payloads = (async function* () {
      for await (const item of said) yield { data: encode(item) };
    })();
    const handlers = { ...events(items), ...source(payloads, () => items.subscription) };
    items.subscription = this.rsocket.requestChannel(to(route, given), ahead, false, handlers);
    return values(items);
  }

  close() {
    this.rsocket.close();
  }
}

// Serves `demo.Greeter` of examples/greeter/api.rs in JSON, with a broker running (`cargo run`):
//
//   npm ci && node responder.mjs [rsocket://127.0.0.1:9999]
//
// Call it with `node requester.mjs`, or with `cargo run --example greeter-requester -- --json`.

import { randomUUID } from "node:crypto";
import { coded, Connection, events, source } from "./connection.mjs";
import { Items } from "./flow.mjs";
import { args, called, dataType, decode, encode, JSON_TYPE, setup } from "./towline.mjs";

const SERVICE = "demo.Greeter";
const INVALID = 0x204;
// What a caller may send on a channel before it is read.
const AHEAD = 16;
const LIMIT = 1_000_000;
const by = `node ${process.pid}`;

/** An error of the method itself: Rust reads it as a `GreeterError`. */
const error = (code, message, detail = {}) => coded({ message: JSON.stringify({ code, message, detail }) });

function greeting(names) {
  if (!names) throw error("name-missing", "who is to be greeted?");
  return { text: `Hello ${names}!`, by };
}

const answers = { greet: ({ data }) => greeting(args(data, "name")[0]) };

const told = { wave: ({ data }) => console.log(`waving at ${args(data, "name")[0]}`) };

const streams = {
  // Made one by one, as the caller reads them.
  *countDown({ data }) {
    const [from] = args(data, "from");
    if (from > LIMIT) throw error("too-far", `${from} is too far, start at ${LIMIT} at most`, { from, limit: LIMIT });
    for (let number = from; number >= 1; number--) yield { data: encode(number) };
  },
};

// The first payload holds the arguments, the items follow.
const channels = {
  async *greetAll(_, items) {
    const names = [];
    for await (const { data } of items) names.push(decode(data));
    yield { data: encode(greeting(names.join(", "))) };
  },
  async *chat({ data }, items) {
    const [room] = args(data, "room");
    for await (const said of items) yield { data: encode(`[${room}] ${decode(said.data)}`) };
  },
};

/** The method of those that a request is for. */
function method(methods, { metadata }) {
  const [service, name] = called(metadata);
  if (service !== SERVICE || !Object.hasOwn(methods, name)) {
    throw coded({ code: INVALID, message: `RST-201404: No service handler found: ${service}.${name}` });
  }
  const type = dataType(metadata);
  if (type !== JSON_TYPE) {
    throw coded({ code: INVALID, message: `RST-700501: ${SERVICE} here reads ${JSON_TYPE}, not ${type}` });
  }
  return methods[name];
}

// What a handler throws before it returns, the library sends as it does what `onError` gets.
const responder = {
  requestResponse(payload, caller) {
    caller.onNext({ data: encode(method(answers, payload)(payload)) }, true);
    return { cancel: () => {}, onExtension: () => {} };
  },
  fireAndForget(payload) {
    method(told, payload)(payload);
    return { cancel: () => {} };
  },
  requestStream(payload, credit, caller) {
    const numbers = source(method(streams, payload)(payload), () => caller);
    numbers.request(credit);
    return numbers;
  },
  requestChannel(payload, credit, isComplete, caller) {
    const items = new Items({ refill: true });
    items.subscription = caller;
    const answers = source(method(channels, payload)(payload, items), () => caller);
    answers.request(credit);
    if (isComplete) items.end();
    else caller.request(AHEAD);
    return { ...events(items), ...answers };
  },
};

// One uuid for all connections of this process: what the broker knows it by.
const metadata = setup({ name: "greeter-node", uuid: randomUUID(), services: [[SERVICE, "1"]] });
const connection = await Connection.open(metadata, responder);
connection.rsocket.onClose((why) => {
  console.error(`the connection is closed: ${why?.message ?? "by this side"}`);
  process.exit(1);
});
// Behind SETUP: its answer comes when the service is in force.
await connection.ask("towline.Health.check", SERVICE);
console.log("ready");

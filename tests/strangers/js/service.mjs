// `test.Probe`, see tests/strangers/probe.rs, behind what an adapter calls: `answer`, `told`, `stream`, `channel`.

import { args, called, decode, encode } from "../../../examples/node/towline.mjs";

/** An error with a code of the protocol. */
export class Refused extends Error {
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}
export const APPLICATION_ERROR = 0x201;
const INVALID = 0x204;

const noted = [];
let running = 0;

const UNARY = {
  echo: (text) => text,
  add: (a, b) => a + b,
  ping: () => null,
  find: (id) => (id === 7 ? { id: 7, name: "seven" } : null),
  fail: (text) => {
    throw new Refused(APPLICATION_ERROR, text);
  },
  notes: () => noted,
  running: () => running,
};
const TEXT = ["text"];
const NAMES = { echo: TEXT, add: ["a", "b"], find: ["id"], fail: TEXT, note: TEXT, count: ["to"], chat: ["prefix"] };

const STREAMS = {
  *count(to) {
    running++;
    try {
      for (let number = 1; number <= to; number++) yield { data: encode(number) };
    } finally {
      running--;
    }
  },
};

const CHANNELS = {
  async *sum(_, numbers) {
    let sum = 0;
    for await (const number of numbers) sum += decode(number.data);
    yield { data: encode(sum) };
  },
  async *chat([prefix], said) {
    for await (const text of said) yield { data: encode(`${prefix}: ${decode(text.data)}`) };
  },
};

/** The method of those that the request is for, and its arguments. */
function find(methods, { data, metadata }) {
  const [service, method] = called(metadata);
  if (service !== "test.Probe" || !Object.hasOwn(methods, method)) {
    throw new Refused(INVALID, `RST-201404: No service handler found: ${service}.${method}`);
  }
  return [methods[method], args(data, ...(NAMES[method] ?? []))];
}

function* refused(error) {
  throw error;
}

function made(make) {
  try {
    return make();
  } catch (error) {
    return refused(error);
  }
}

/** An answer; throws what is to be the error. */
export function answer(payload) {
  const [method, given] = find(UNARY, payload);
  return { data: encode(method(...given)) };
}

/** A request without answer. */
export function told(payload) {
  noted.push(...find({ note: null }, payload)[1]);
}

/** An iterator of payloads; it throws what is to be the error. */
export const stream = (payload) =>
  made(() => {
    const [method, given] = find(STREAMS, payload);
    return method(...given);
  });

/** The same, of a channel whose first payload that is and whose items are `said`. */
export const channel = (payload, said) =>
  made(() => {
    const [method, given] = find(CHANNELS, payload);
    return method(given, said);
  });

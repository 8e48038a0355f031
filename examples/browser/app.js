// A page on the broker: it calls `demo.Greeter` (examples/greeter) and serves `demo.Page`, which any app can call.

import "./buffer.js";
import { ErrorCodes, RSocketConnector, RSocketError } from "rsocket-core";
import { WebsocketClientTransport } from "rsocket-websocket-client";
import { args, called, COMPOSITE, dataType, decode, encode, JSON_TYPE, request as to, setup } from "../node/towline.mjs";

const at = (id) => document.getElementById(id);
const show = (id, text) => { at(id).textContent = text; };
const ignore = () => {};

/** Of this page, kept over reconnects. (`crypto.randomUUID` exists in secure contexts alone.) */
const uuid = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** A request in JSON, its arguments by position. */
const request = (route, ...args) =>
  ({ metadata: to(route, { data: JSON_TYPE }), data: args.length ? encode(args) : null });

/** What an error says: the method's own errors are JSON, all others are text. */
function words(error) {
  try {
    return JSON.parse(error.message).message ?? error.message;
  } catch {
    return error?.message ?? String(error);
  }
}

/** One request, one answer. */
const call = (...what) => new Promise((resolve, reject) => {
  if (!rsocket) throw new Error("there is no connection");
  rsocket.requestResponse(request(...what), {
    onNext: ({ data }) => resolve(decode(data)),
    onComplete: () => resolve(null),
    onError: reject,
    onExtension: ignore,
  });
});

/** What this page serves, by `service.method`: from arguments to a result. */
const served = {
  "demo.Page.show": ([text]) => {
    show("shown", text);
    return document.title;
  },
};

/** rsocket-js 1.0.0-alpha.3 makes a plain Error of it, which it would send as APPLICATION_ERROR, whatever its code. */
const refusal = (code, text) => Object.setPrototypeOf(new RSocketError(code, text), RSocketError.prototype);

const responder = {
  // What is thrown here is answered as an error.
  requestResponse({ metadata, data }, stream) {
    const name = called(metadata).join(".");
    const type = dataType(metadata);
    if (!served[name]) throw refusal(ErrorCodes.INVALID, `RST-201404: No service handler found: ${name}`);
    if (type !== JSON_TYPE) throw refusal(ErrorCodes.INVALID, `RST-700501: this page reads no ${type}`);
    stream.onNext({ data: encode(served[name](args(data, "text"))) }, true);
    return { cancel: ignore, onExtension: ignore };
  },
};

let rsocket;
let numbers;

async function connect() {
  at("connect").disabled = true;
  show("status", "connecting");
  const connector = new RSocketConnector({
    setup: {
      metadataMimeType: COMPOSITE,
      dataMimeType: JSON_TYPE,
      keepAlive: 20_000,
      lifetime: 60_000,
      payload: { data: null, metadata: setup({ name: "page", uuid, services: [["demo.Page", "1"]] }) },
    },
    responder,
    transport: new WebsocketClientTransport({ url: at("broker").value }),
  });
  try {
    rsocket = await connector.connect();
  } catch {
    // What went wrong, a browser tells its console and no script.
    return lost(`no connection: is a broker at ${at("broker").value}, and does its listen.origins name ${origin}?`);
  }
  rsocket.onClose((error) => {
    rsocket = undefined;
    lost(`disconnected: ${error ? words(error) : "the connection was closed"}`);
  });
  try {
    // Answered once the broker has taken SETUP, and with it what this page serves.
    show("status", `connected as ${(await call("towline.Registry.whoami")).uuid}`);
  } catch (error) {
    if (rsocket) show("status", words(error));
  }
}

function lost(why) {
  show("status", why);
  at("connect").disabled = false;
}

async function greet() {
  show("greeting", "");
  try {
    const { text, by } = await call("demo.Greeter.greet:1", at("name").value);
    show("greeting", `${text} (by ${by})`);
  } catch (error) {
    show("greeting", `refused: ${words(error)}`);
  }
}

/** A stream, of which the responder sends only what the buttons have asked for. */
function countDown() {
  numbers?.cancel();
  show("numbers", "");
  if (!rsocket) return show("numbers", "refused: there is no connection");
  const add = (text) => show("numbers", `${at("numbers").textContent} ${text}`.trim());
  numbers = rsocket.requestStream(request("demo.Greeter.countDown:1", Number(at("from").value)), 3, {
    onNext({ data }, isLast) {
      add(decode(data));
      if (isLast) add("done");
    },
    onComplete: () => add("done"),
    onError: (error) => add(`refused: ${words(error)}`),
    onExtension: ignore,
  });
}

at("connect").onclick = connect;
at("greet").onclick = greet;
at("count").onclick = countDown;
at("more").onclick = () => numbers?.request(3);
at("stop").onclick = () => numbers?.cancel();
at("broker").value = new URLSearchParams(location.search).get("broker") ?? at("broker").value;
connect();

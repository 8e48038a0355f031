// What a probe does with its library behind an adapter: `serve <url>` and `call <url> [without..]`, see tests/strangers/script.rs.
//
// `adapter.connect(url, setup, service)` is a connection: `ask(request)`, `tell(request)`, `stream(request, n, items)`,
// `channel(request, n, said, items)` (both give `items` a subscription), `close()` and `closed`, a promise. Errors have
// a `code` and a `message`. `adapter.metadata(route)` is made with the library's own means.

import { randomUUID } from "node:crypto";
import { dataType, decode, encode, JSON_TYPE, setup } from "../../../examples/node/towline.mjs";
import { Items } from "../../../examples/node/flow.mjs";
import * as service from "./service.mjs";

const SOON = 15_000;

/** Runs the program. */
export async function run(adapter, name) {
  const [mode, url] = process.argv.slice(2);
  await { serve, call }[mode](adapter, url, name);
  process.exit();
}

async function serve(adapter, url, name) {
  const metadata = setup({ name, uuid: randomUUID(), services: ["test.Probe"] });
  const connection = await adapter.connect(url, metadata, service);
  // Behind SETUP: its answer comes when the services are in force.
  const health = await soon(connection.ask(to(adapter, "towline.Health.check", "test.Probe")));
  same(value(health), { status: 1 });
  console.log("ready");
  const ended = new Promise((end) => process.stdin.resume().on("close", end).on("end", end));
  await Promise.race([ended, connection.closed]);
  connection.close();
}

async function call(adapter, url) {
  const script = new Script(adapter, await adapter.connect(url));
  const without = process.argv.slice(4);
  for (const check of CHECKS.filter((check) => !without.includes(check))) {
    try {
      await soon(script[check]());
      console.log(`ok ${check}`);
    } catch (error) {
      console.log(`failed ${check}: ${error.code ?? ""} ${error.message}`);
    }
  }
  script.connection.close();
}

function soon(promise) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error("it does not end")), SOON)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function to(adapter, route, ...given) {
  return { data: given.length ? encode(given) : undefined, metadata: adapter.metadata(route) };
}

function value(payload) {
  same(dataType(payload?.metadata), JSON_TYPE);
  return decode(payload?.data);
}

function same(is, should) {
  const [a, b] = [is, should].map((it) => JSON.stringify(it));
  if (a !== b) throw new Error(`${a}, not ${b}`);
}

const CHECKS =
  "echo add ping find fail note count credit cancel sum chat large unknown-method unknown-service".split(" ");

/** A method for each check. */
class Script {
  constructor(adapter, connection) {
    Object.assign(this, { adapter, connection });
  }

  async ask(method, ...given) {
    return value(await this.connection.ask(to(this.adapter, `test.Probe.${method}`, ...given)));
  }

  count_to(last, n) {
    const items = new Items();
    this.connection.stream(to(this.adapter, "test.Probe.count", last), n, items);
    return items;
  }

  async said(method, said, ...given) {
    const items = new Items({ refill: true });
    const payloads = said.map((item) => ({ data: encode(item) }));
    this.connection.channel(to(this.adapter, `test.Probe.${method}`, ...given), 1, payloads, items);
    const heard = [];
    for await (const payload of items) heard.push(value(payload));
    return heard;
  }

  async until(is_so) {
    while (!(await is_so())) await new Promise((wake) => setTimeout(wake, 20));
  }

  async refused(route, code, text, given = "?") {
    const answer = await this.connection.ask(to(this.adapter, route, given)).catch((error) => error);
    if (!(answer.code === code && answer.message.startsWith(text))) {
      throw new Error(`${answer.code} ${answer.message ?? answer.data}, not ${code} ${text}`);
    }
  }

  async echo() {
    same(await this.ask("echo", "héllo wörld"), "héllo wörld");
  }

  async add() {
    same(await this.ask("add", 40, 2), 42);
  }

  async ping() {
    same(await this.ask("ping"), null);
  }

  async find() {
    same(await this.ask("find", 7), { id: 7, name: "seven" });
    same(await this.ask("find", 8), null);
  }

  async fail() {
    await this.refused("test.Probe.fail", 0x201, "no such thing", "no such thing");
  }

  async note() {
    const text = randomUUID();
    this.connection.tell(to(this.adapter, "test.Probe.note", text));
    await this.until(async () => (await this.ask("notes")).includes(text));
  }

  async count() {
    const items = this.count_to(100, 7);
    const counted = [];
    for await (const payload of items) {
      counted.push(value(payload));
      if (counted.length % 7 === 0) items.subscription.request(7);
    }
    same(counted, Array.from({ length: 100 }, (_, nth) => nth + 1));
  }

  async credit() {
    const items = this.count_to(1000, 3);
    let expected = 0;
    for (const more of [3, 2]) {
      for (let nth = 0; nth < more; nth++) same(value(await items.read()), ++expected);
      for (let nth = 0; nth < 10; nth++) await this.ask("echo", "meanwhile");
      same(items.queue.length, 0);
      if (expected === 3) items.subscription.request(2);
    }
    items.subscription.cancel();
  }

  async cancel() {
    const items = this.count_to(1_000_000_000, 5);
    for (let expected = 1; expected <= 5; expected++) same(value(await items.read()), expected);
    items.subscription.cancel();
    await this.until(async () => (await this.ask("running")) === 0);
  }

  async sum() {
    const numbers = Array.from({ length: 100 }, (_, nth) => nth + 1);
    same(await this.said("sum", numbers), [5050]);
  }

  async chat() {
    same(await this.said("chat", ["hi", "bye"], "a"), ["a: hi", "a: bye"]);
  }

  async large() {
    const back = await this.ask("echo", "x".repeat(300_000));
    if (back !== "x".repeat(300_000)) throw new Error(`${back.length} letters came back`);
  }

  async "unknown-method"() {
    await this.refused("test.Probe.nothing", 0x204, "RST-201404");
  }

  async "unknown-service"() {
    await this.refused("test.Nobody.echo", 0x204, "RST-900404");
  }
}

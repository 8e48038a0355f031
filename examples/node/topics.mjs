// Durable topics, see docs/topics.md, with a broker running (`cargo run`); what a message holds is JSON with an `id`:
//
//   npm ci
//   node topics.mjs create orders '{"maxMessageBytes":1024}'
//   node topics.mjs publish orders '{"id":1}'
//   node topics.mjs publish-many orders < lines-of-json
//   node topics.mjs consume orders billing 100 [id that cannot be handled]
//   node topics.mjs dead-letters orders billing
//   node topics.mjs redrive orders billing
//
// Each takes the address of the broker as well: rsocket://127.0.0.1:9999.

import { createInterface } from "node:readline";
import { Connection } from "./connection.mjs";
import { Items } from "./flow.mjs";
import { setup } from "./towline.mjs";

// What the broker may send before it is read.
const AHEAD = 64;
const [command, ...given] = process.argv.slice(2).filter((argument) => !argument.startsWith("rsocket://"));
const broker = await Connection.open(setup({ name: "topics-node" }));

/** A message with an id of its own is stored once, however often it is sent. */
const message = (order) => ({ json: order, id: `order-${order.id}` });

async function create(topic, config = "{}") {
  const created = await broker.ask("towline.Topics.create", topic, JSON.parse(config));
  console.log(`created ${created.topic}`);
}

/** Once this is answered the message is on the disk. */
async function publish(topic, order) {
  const stored = await broker.ask("towline.Queue.publish", topic, message(JSON.parse(order)));
  console.log(`stored ${stored.offset}${stored.duplicate ? ", as before" : ""}`);
}

/** Many on one channel: sent as the broker gives credit, each answered by a receipt, in order. */
async function publishMany(topic) {
  async function* messages() {
    for await (const line of createInterface({ input: process.stdin })) yield message(JSON.parse(line));
  }
  for await (const { n, offset, error } of broker.channel("towline.Queue.publishMany", AHEAD, messages(), topic)) {
    console.log(`${n}: ${error ? `refused ${error.code}` : `stored ${offset}`}`);
  }
}

/** Takes so many messages of a group; what cannot be handled comes again, and in the end is a dead letter. */
async function consume(topic, group, count, unfit) {
  const settles = new Items();
  const options = { start: "earliest", maxAttempts: 3 };
  const deliveries = broker.channel("towline.Queue.consume", AHEAD, settles, topic, group, options);
  let left = Number(count);
  for await (const { offset, attempt, json: order } of deliveries) {
    console.log(`got ${order.id}, attempt ${attempt}`);
    if (`${order.id}` === unfit) settles.next({ nack: [offset], delayMs: 0, reason: "cannot handle it" });
    else settles.next({ ack: [offset] });
    // The end of the settles: the broker takes them all, hands over no more and ends the channel.
    if (--left === 0) settles.end();
  }
}

async function deadLetters(topic, group) {
  for (const { offset, json: order, headers } of await broker.ask("towline.Topics.deadLetters", topic, group)) {
    const { "towline-dead-attempts": attempts, "towline-dead-error": error } = headers;
    console.log(`${offset}: ${order.id} after ${attempts} attempts: ${error}`);
  }
}

async function redrive(topic, group) {
  const { moved } = await broker.ask("towline.Topics.redrive", topic, group);
  console.log(`moved ${moved}`);
}

const commands = { create, publish, "publish-many": publishMany, consume, "dead-letters": deadLetters, redrive };
try {
  await commands[command](...given);
} catch (error) {
  // What a topic refuses is JSON; anything else is a text.
  if (!error.message.startsWith("{")) throw error;
  const { code, message, next } = JSON.parse(error.message);
  console.log(`refused: ${code}: ${message}${next ? `; ${next}` : ""}`);
  process.exitCode = 1;
}
broker.close();

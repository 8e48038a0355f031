// Calls `demo.Greeter` of examples/greeter/api.rs in every shape, with a broker and any responder of it running:
//
//   npm ci && node requester.mjs [rsocket://127.0.0.1:9999]

import { Connection } from "./connection.mjs";
import { setup } from "./towline.mjs";

const broker = await Connection.open(setup({ name: "greeter-node-requester" }));
const method = (name) => `demo.Greeter.${name}:1`;

const greeting = await broker.ask(method("greet"), "Ada");
console.log(`greet: ${greeting.text} (by ${greeting.by})`);

// The method's own error is JSON; one of the broker or of the call is a text that starts with RST-.
try {
  await broker.ask(method("greet"), "");
} catch (error) {
  console.log(`greet nobody: ${error.message.startsWith("{") ? JSON.parse(error.message).code : error.message}`);
}

broker.tell(method("wave"), "Ada");
console.log("wave: sent");

// A long stream, of which only the beginning is asked for and sent.
const numbers = [];
for await (const number of broker.stream(method("countDown"), 4, 1_000)) {
  if (numbers.push(number) === 3) break;
}
console.log(`count_down: [${numbers.join(", ")}]`);

for await (const { text } of broker.channel(method("greetAll"), 1, ["Ada", "Grace"])) console.log(`greet_all: ${text}`);

for await (const text of broker.channel(method("chat"), 4, ["hi", "bye"], "lobby")) console.log(`chat: ${text}`);

broker.close();

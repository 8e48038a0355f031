// Serves the page of examples/browser, and does in a browser what it is told: each line of standard input is
// `[verb, ...arguments]`, answered by a line `{"ok": value}` or `{"failed": why}`. The first line it prints by itself says
// the page's origin. It ends with its standard input.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const example = fileURLToPath(new URL("../../../examples/browser", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "towline-browser-"));
const bundle = join(folder, "app.js");
execFileSync("npm", ["run", "--silent", "build", "--", "--log-level=error", `--outfile=${bundle}`], { cwd: example, stdio: ["ignore", 2, 2] });
const page = ["text/html", readFileSync(join(example, "index.html"))];
const served = { "/": page, "/dist/app.js": ["text/javascript", readFileSync(bundle)] };
rmSync(folder, { recursive: true });

const server = createServer((request, response) => {
  const [type, content] = served[new URL(request.url, "http://page").pathname] ?? [];
  response.writeHead(content ? 200 : 404, { "content-type": type ?? "text/plain" }).end(content);
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const origin = `http://127.0.0.1:${server.address().port}`;

// Its profile is a new folder, which goes with it. It asks nobody but this machine for anything.
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  headless: true,
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  ],
});
const tab = await browser.newPage();
tab.setDefaultTimeout(30_000);
const heard = [];
tab.on("console", (message) => heard.push(message.text()));
tab.on("pageerror", (error) => heard.push(`uncaught: ${error}`));

const text = (id) => tab.textContent(id);
const verbs = {
  open: async (broker) => { await tab.goto(`${origin}/?broker=${encodeURIComponent(broker)}`); },
  fill: (id, value) => tab.fill(id, value),
  click: (id) => tab.click(id),
  text,
  // Waits until it says so.
  until: async (id, part) => {
    const says = ([id, part]) => document.querySelector(id).textContent.includes(part);
    await tab.waitForFunction(says, [id, part]).catch(async () => {
      throw new Error(`${id} says ${JSON.stringify(await text(id))}, not ${JSON.stringify(part)}; the console: ${heard.join("; ")}`);
    });
    return text(id);
  },
  console: async () => heard,
};

const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
print({ ok: origin });
for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...args] = JSON.parse(line);
  await verbs[verb](...args).then((value) => print({ ok: value ?? null }), (error) => print({ failed: error.message }));
}
await browser.close();
process.exit();

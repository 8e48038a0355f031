// Items with credit, both ways, for either generation of rsocket-js: the library hands credit to the program and sends
// whatever that gives it. Copy this file as well.

/**
 * What the other side sends, item by item, read as an async iterator; with `refill` each asks for another.
 * Its `subscription`, with `request(n)` and `cancel()`, is set by whoever subscribes it.
 */
export class Items {
  queue = [];
  #wake = () => {};
  constructor({ refill = false } = {}) {
    this.refill = refill;
  }
  #push(event) {
    this.queue.push(event);
    this.#wake();
  }
  next(payload) {
    this.#push({ payload });
  }
  end() {
    this.#push({ end: true });
  }
  error(error) {
    this.#push({ error });
  }
  /** The next payload; undefined at the end. */
  async read() {
    while (!this.queue.length) await new Promise((wake) => (this.#wake = wake));
    const event = this.queue[0];
    if (event.error) throw event.error;
    if (event.end) return undefined;
    this.queue.shift();
    if (this.refill) this.subscription.request(1);
    return event.payload;
  }
  /** Whoever stops reading before the end cancels. */
  async *[Symbol.asyncIterator]() {
    let payload = null;
    try {
      while ((payload = await this.read()) !== undefined) yield payload;
    } finally {
      if (payload !== undefined && !this.queue[0]?.error) this.subscription.cancel();
    }
  }
}

// After so many items others get their turn, however much credit there is.
const TURN = 64;

/** Sends what an iterator yields, an item for each credit; its end needs none, so it is asked one item ahead. */
export class Outbound {
  #credit = 0;
  #isCancelled = false;
  #wake = () => {};
  constructor(iterator, to) {
    this.iterator = iterator;
    this.#run(to).catch((error) => this.#isCancelled || to.error(error));
  }
  request(n) {
    this.#credit += n;
    this.#wake();
  }
  cancel() {
    this.#isCancelled = true;
    this.#wake();
  }
  async #run(to) {
    for (let sent = 1; !this.#isCancelled; sent++) {
      const { value, done } = await this.iterator.next();
      if (done) return this.#isCancelled || to.end();
      while (!this.#credit && !this.#isCancelled) await new Promise((wake) => (this.#wake = wake));
      if (this.#isCancelled) break;
      this.#credit--;
      to.next(value);
      if (sent % TURN === 0) await new Promise((go) => (globalThis.setImmediate ?? setTimeout)(go));
    }
    await this.iterator.return();
  }
}

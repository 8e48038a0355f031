// rsocket-js uses Node's `Buffer`, which a browser lacks: import this before it.
import { Buffer } from "buffer";

globalThis.Buffer ??= Buffer;

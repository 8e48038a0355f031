// What Towline's metadata is made of, for any RSocket client in JavaScript, in node or a browser. Copy this file: it
// needs no package. What it makes is a Buffer where there are such, as both generations of rsocket-js want it.

export const COMPOSITE = "message/x.rsocket.composite-metadata.v0"; // the metadata type of SETUP
export const JSON_TYPE = "application/json";
const ROUTING = 0x7e, DATA_TYPE = 0x7a, ACCEPT = 0x7b, APP = 0x51, REGISTRY = 0x54;
const TYPES = { 0x01: "application/cbor", 0x05: JSON_TYPE, 0x06: "application/octet-stream", 0x21: "text/plain" };

const text = (bytes) => new TextDecoder().decode(bytes);
const bytes = (...parts) => {
  const each = parts.map((part) => (typeof part === "string" ? new TextEncoder().encode(part) : part));
  const all = new Uint8Array(each.reduce((sum, { length }) => sum + length, 0));
  each.reduce((at, part) => (all.set(part, at), at + part.length), 0);
  return globalThis.Buffer?.from(all.buffer) ?? all;
};
const counted = (name) => bytes([bytes(name).length], name);

/** A value as data, and data as a value; no data is null. */
export const encode = (value) => bytes(JSON.stringify(value));
export const decode = (data) => (data?.length ? JSON.parse(text(data)) : null);

/** One entry of composite metadata; its kind is an id or a MIME type, as the content of 0x7A and 0x7B is. */
export const entry = (kind, content) =>
  bytes(mime(kind), [content.length >> 16, (content.length >> 8) & 255, content.length & 255], content);
export function mime(type) {
  const id = typeof type === "number" ? type : Object.keys(TYPES).find((id) => TYPES[id] === type);
  return id === undefined ? bytes([bytes(type).length - 1], type) : bytes([0x80 | id]);
}

/** Metadata of a request for `[group!]service.method[:version]`; tags: `sticky=1`, `key=..`, `e=..`, `t.label=..`. */
export function request(route, { tags = [], data, accept = [] } = {}) {
  const routing = entry(ROUTING, bytes(...[route, ...tags].map(counted)));
  const type = data ? entry(DATA_TYPE, mime(data)) : [];
  return bytes(routing, type, accept.length ? entry(ACCEPT, bytes(...accept.map(mime))) : []);
}

/** Metadata of SETUP. Keep the uuid (32 to 128 characters) over reconnects; a service is a name, or [name, version]. */
export function setup({ name, uuid, services = [], labels } = {}) {
  const published = services.map((is) => [is].flat()).map(([service, version]) => ({ service, version }));
  const app = name || uuid || labels ? entry(APP, encode({ name, uuid, metadata: labels })) : [];
  return bytes(app, published.length ? entry(REGISTRY, encode({ published })) : []);
}

/** Every [kind, content] of composite metadata, up to the first that is malformed; ids that are not known are kept. */
export function* entries(metadata) {
  for (let rest = metadata ?? bytes(); rest.length > 4; ) {
    const at = rest[0] & 0x80 ? 1 : rest[0] + 2;
    const end = at + 3 + rest[at] * 65536 + rest[at + 1] * 256 + rest[at + 2];
    if (!(end <= rest.length)) return;
    yield [at === 1 ? rest[0] & 0x7f : text(rest.subarray(1, at)), rest.subarray(at + 3, end)];
    rest = rest.subarray(end);
  }
}
const content = (metadata, kind) => [...entries(metadata)].find(([is, of]) => is === kind && of.length)?.[1];

/** [service, method] that a request asks for. */
export function called(metadata) {
  const tags = content(metadata, ROUTING) ?? [0];
  const route = text(bytes(tags.slice(1, 1 + tags[0]))).split("?")[0].split("!").at(-1).split(":")[0];
  const dot = route.lastIndexOf(".");
  return [route.slice(0, Math.max(dot, 0)), route.slice(dot + 1)];
}

/** The type of the data, as the metadata of a request or an answer says; else that of the request, or of SETUP. */
export function dataType(metadata, otherwise = JSON_TYPE) {
  const said = content(metadata, DATA_TYPE);
  if (!said) return otherwise;
  return said[0] & 0x80 ? TYPES[said[0] & 0x7f] ?? "unknown" : text(said.subarray(1));
}

/** The arguments of a call in JSON: an array, a map of their names, or the bare value of the only one. */
export function args(data, ...names) {
  const value = data?.length ? decode(data) : [];
  if (Array.isArray(value)) return value;
  const keys = typeof value === "object" && names.length ? Object.keys(value ?? {}) : [];
  return keys.length && keys.every((key) => names.includes(key)) ? names.map((name) => value[name]) : [value];
}

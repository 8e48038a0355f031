"""What Towline's metadata is made of, for any RSocket client in Python. Copy this file: it needs the standard library
alone. rsocket-py's own `rsocket.extensions` write request metadata as well, but know neither the entries of SETUP nor,
when they read, any id beyond their table: a request of a Java starter has such."""

import json

COMPOSITE = "message/x.rsocket.composite-metadata.v0"  # the metadata type of SETUP; the default of rsocket-py is another
JSON = "application/json"
ROUTING, DATA_TYPE, ACCEPT, APP, REGISTRY = 0x7E, 0x7A, 0x7B, 0x51, 0x54
TYPES = {0x01: "application/cbor", 0x05: JSON, 0x06: "application/octet-stream", 0x21: "text/plain"}


def entry(kind, content):
    """One entry of composite metadata; its kind is an id or a MIME type."""
    head = bytes([0x80 | kind]) if isinstance(kind, int) else bytes([len(kind) - 1]) + kind.encode()
    return head + len(content).to_bytes(3, "big") + content


def mime(name):
    """A MIME type as the content of an entry: a well-known one by its id."""
    known = [bytes([0x80 | id]) for id, known in TYPES.items() if known == name]
    return known[0] if known else bytes([len(name) - 1]) + name.encode()


def request(route, *tags, data=None, accept=()):
    """Metadata of a request for `[group!]service.method[:version]`; tags: `sticky=1`, `key=..`, `e=..`, `t.label=..`."""
    made = entry(ROUTING, b"".join(bytes([len(tag.encode())]) + tag.encode() for tag in (route, *tags)))
    made += entry(DATA_TYPE, mime(data)) if data else b""
    return made + (entry(ACCEPT, b"".join(map(mime, accept))) if accept else b"")


def setup(name=None, uuid=None, services=(), **labels):
    """Metadata of SETUP. Keep the uuid (32 to 128 characters) over reconnects; a service is a name, or (name, version)."""
    app = {key: value for key, value in {"name": name, "uuid": uuid, "metadata": labels}.items() if value}
    published = [dict(zip(("service", "version"), (s,) if isinstance(s, str) else s)) for s in services]
    made = entry(APP, json.dumps(app).encode()) if app else b""
    return made + (entry(REGISTRY, json.dumps({"published": published}).encode()) if published else b"")


def entries(metadata):
    """Every (kind, content) of composite metadata, up to the first that is malformed; ids that are not known are kept."""
    rest = bytes(metadata or b"")
    while len(rest) > 4:
        at, kind = (1, rest[0] & 0x7F) if rest[0] & 0x80 else (rest[0] + 2, rest[1 : rest[0] + 2].decode("latin-1"))
        end = at + 3 + int.from_bytes(rest[at : at + 3], "big")
        if at + 3 > len(rest) or end > len(rest):
            return
        yield kind, rest[at + 3 : end]
        rest = rest[end:]


def called(metadata):
    """(service, method) that a request asks for."""
    tags = next((content for kind, content in entries(metadata) if kind == ROUTING and content), b"\0")
    route = tags[1 : 1 + tags[0]].decode().split("?")[0].rpartition("!")[2].partition(":")[0]
    return tuple(route.rpartition(".")[::2])


def data_type(metadata, otherwise=JSON):
    """The type of the data, as the metadata of a request or an answer says; else that of the request, or of SETUP."""
    said = next((content for kind, content in entries(metadata) if kind == DATA_TYPE and content), None)
    if said is None:
        return otherwise
    return TYPES.get(said[0] & 0x7F, "unknown") if said[0] & 0x80 else said[1:].decode("latin-1")


def arguments(data, *names):
    """The arguments of a call in JSON: an array, a map of their names, or the bare value of the only one."""
    value = json.loads(bytes(data)) if data else []
    if isinstance(value, dict) and names and set(value) <= set(names):
        value = [value.get(name) for name in names]
    if not isinstance(value, list):
        value = [value]
    return value + [None] * (len(names) - len(value))

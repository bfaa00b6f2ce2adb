"""The requests that a keyvalue instance takes."""

from __future__ import annotations

from collections.abc import Iterator

from dvid.codecs.keyvalues import decode_keyvalues
from dvid.datatypes.common import get_info
from dvid.datatypes.keyvalue import operations
from dvid.datatypes.keyvalue.formats import encoder, keys_json
from dvid.datatypes.keyvalue.reads import header_span, span, wanted_from_json, wanted_from_protobuf
from dvid.errors import BadRequest, NotFound, RangeNotSatisfiable
from dvid.routes import JSON, OCTETS, TEXT, Argument, Call, Reply, Route, flag, integer
from dvid.storage.protocol import Buffer
from dvid.versions.edit import Edit

_RANGES = {"Accept-Ranges": "bytes"}


_MAX_LIST_BYTES = 4 << 20
"""Most bytes of a list of keys: as Python objects it takes 50 times as much."""


def get_key(call: Call, key: str, byte_start: int | None, byte_end: int | None) -> Reply:
    """Answer a value, or some bytes of it."""
    part, header = span(byte_start, byte_end, f"key {key!r}"), call.header("Range")
    if part is not None and header is not None:
        raise BadRequest("a Range header and byte_start/byte_end cannot be combined")
    with call.view() as view:
        value = operations.get(view, key)
        if value is None:
            raise NotFound(f"there is no key {key!r} at this version")
        if part is not None:
            return Reply(bytes(part.of(key, value)), OCTETS, 200, _RANGES)
        if header is not None:
            return _part(header, key, value)
        return Reply(bytes(value), OCTETS, 200, _RANGES)


def _part(header: str, key: str, value: Buffer) -> Reply:
    size = len(value)
    try:
        part = header_span(header, size)
    except RangeNotSatisfiable as error:
        return Reply(f"{error}\n".encode(), TEXT, 416, {**_RANGES, "Content-Range": f"bytes */{size}"})
    if part is None:
        return Reply(bytes(value), OCTETS, 200, _RANGES)
    headers = {**_RANGES, "Content-Range": f"bytes {part.first}-{part.last}/{size}"}
    return Reply(bytes(part.of(key, value)), OCTETS, 206, headers)


def post_key(call: Call, key: str) -> Reply:
    """Store a value."""
    return _store(call, [(key, call.body())])


def post_keyvalues(call: Call) -> Reply:
    """Store several values."""
    return _store(call, decode_keyvalues(call.body()))


def _store(call: Call, pairs: list[tuple[str, bytes]]) -> Reply:
    limit = call.limits.key_bytes
    for key, _ in pairs:
        if len(key) * 4 > limit and (size := len(key.encode(errors="replace"))) > limit:
            raise BadRequest(f"the key {key[:40]!r}... has {size} bytes; the limit is {limit} (limits.keyBytes)")
    instance = None
    if any(len(value) >= operations.SMALL for _, value in pairs):
        with call.view() as view:
            instance = view.instance
    packed = operations.pack(instance, pairs)

    def store(edit: Edit) -> Reply:
        operations.put(edit, packed)
        return Reply(b"", TEXT)

    return call.edit(store)


def delete_key(call: Call, key: str) -> Reply:
    """Remove a key."""

    def delete(edit: Edit) -> Reply:
        operations.delete(edit, key)
        return Reply(b"", TEXT)

    return call.edit(delete)


def get_keys(call: Call) -> Reply:
    """Answer all keys."""
    return Reply(_keys(call, None, None), JSON)


def get_keyrange(call: Call, first: str, last: str) -> Reply:
    """Answer the keys of a range."""
    return Reply(_keys(call, first, last), JSON)


def _keys(call: Call, first: str | None, last: str | None) -> Iterator[bytes]:
    with call.view() as view:
        yield from keys_json(operations.key_batches(view, first, last))


def get_keyrangevalues(
    call: Call, first: str, last: str, json: bool, tar: bool, jsontar: bool, protobuf: bool, check: bool
) -> Reply:
    """Answer the keys and values of a range."""
    encode, media_type = encoder(json=json, tar=tar or jsontar, check=check)

    def pieces() -> Iterator[bytes]:
        with call.view() as view:
            yield from encode(operations.value_batches(view, first, last))

    return Reply(pieces(), media_type)


def get_keyvalues(call: Call, json: bool, tar: bool, jsontar: bool, protobuf: bool, check: bool) -> Reply:
    """Answer the values of the keys in the body."""
    encode, media_type = encoder(json=json, tar=tar or jsontar, check=check)
    body = call.body(_MAX_LIST_BYTES)
    keys, spans = wanted_from_json(body) if json or tar or jsontar else wanted_from_protobuf(body)

    def pieces() -> Iterator[bytes]:
        with call.view() as view:
            yield from encode(operations.get_batches(view, keys, spans))

    return Reply(pieces(), media_type)


_KEY = Argument("key", "The key: any text but the empty one, percent-encoded.", example="settings.json")
_FIRST = Argument("first", "The first key of the range, whether or not there is such a key.", example="a")
_LAST = Argument("last", "The last key of the range; it belongs to it.", example="z")
_BYTE = integer(0, 2**63 - 1)
_PART = (
    Argument("byte_start", "First byte wanted of the value; goes with byte_end.", _BYTE, {"type": "integer"}, None),
    Argument("byte_end", "Last byte wanted; the value must have it.", _BYTE, {"type": "integer"}, None),
)
_BOOLEAN = {"type": "boolean"}
_FORMS = (
    Argument("json", "true: a JSON object. The values must be JSON; {} stands for none.", flag, _BOOLEAN, False),
    Argument("tar", "true: a tar archive with a file for each key.", flag, _BOOLEAN, False),
    Argument("jsontar", "The same as tar.", flag, _BOOLEAN, False),
    Argument("protobuf", "true: a protobuf KeyValues message, as without any of these.", flag, _BOOLEAN, False),
    Argument("check", "false: with json=true, don't check that the values are JSON.", flag, _BOOLEAN, True),
)

ROUTES = (
    Route("POST", "/info", get_info, "The same as GET: a keyvalue instance has no settings to change.", answers=JSON),
    Route(
        "GET",
        "/keys",
        get_keys,
        "Answer all keys as a JSON list, in the order of their UTF-8 bytes.",
        answers=JSON,
        immutable=True,
    ),
    Route(
        "GET",
        "/keyrange/{first}/{last}",
        get_keyrange,
        "Answer the keys of a range as a JSON list.",
        arguments=(_FIRST, _LAST),
        answers=JSON,
        immutable=True,
    ),
    Route(
        "GET",
        "/keyrangevalues/{first}/{last}",
        get_keyrangevalues,
        "Answer the keys of a range with their values.",
        arguments=(_FIRST, _LAST),
        options=_FORMS,
        immutable=True,
    ),
    Route(
        "GET",
        "/key/{key:path}",
        get_key,
        "Answer a value; 404 if the key has none. One range of a Range header is served (206), and HEAD tells whether "
        "there is the key.",
        arguments=(_KEY,),
        options=_PART,
        immutable=True,
    ),
    Route(
        "POST",
        "/key/{key:path}",
        post_key,
        "Store a value in place of what the key had at this version.",
        arguments=(_KEY,),
        body="The value: any bytes, none among them.",
        answers=TEXT,
        writes=True,
    ),
    Route(
        "DELETE",
        "/key/{key:path}",
        delete_key,
        "Remove a key at this version; earlier versions keep it.",
        arguments=(_KEY,),
        answers=TEXT,
        writes=True,
    ),
    Route(
        "GET",
        "/keyvalues",
        get_keyvalues,
        "Answer the values of the keys that the request's body lists, in their order; empty for a key that has none.",
        options=_FORMS,
        body="A protobuf Keys message; with json=true or tar=true a JSON list of keys, each a text or an object like "
        '{"key": "a", "byte_start": 0, "byte_end": 9} for some bytes of its value.',
    ),
    Route(
        "POST",
        "/keyvalues",
        post_keyvalues,
        "Store several values, all or none.",
        body="A protobuf KeyValues message.",
        answers=TEXT,
        writes=True,
    ),
)

"""The layout of keys: docs/key-layout.md tells the same for readers.

    system:    00000000 | table | ...                      what the service itself keeps (repos, nodes, instances)
    instance:  instance | table | type-specific | version  the data of one instance, versioned

`instance` and `version` are 4 bytes, big-endian; an instance number is never 0. The version is stored inverted
(2^32 - 1 - version), so that at one key the newest version comes first and a read at version V is one seek to
(key, V) and onwards to the first ancestor of V.

Of the type-specific keys of one table none may begin another, or scans would give them in another order than their
own: they are all equally long, or `text_key`s.
"""

from __future__ import annotations

import struct
from typing import Final

from dvid.errors import BadRequest
from dvid.geometry import BlockRange, Zyx

VERSION_BYTES: Final = 4
NEWEST: Final = 2**32 - 1

_u32 = struct.Struct(">I")
_u64 = struct.Struct(">Q")
_block = struct.Struct(">III")

pack_u32 = _u32.pack
pack_u64 = _u64.pack


def unpack_u32(data: bytes | memoryview) -> int:
    """Read a 4-byte big-endian number."""
    return int(_u32.unpack(data)[0])


def unpack_u64(data: bytes | memoryview) -> int:
    """Read an 8-byte big-endian number."""
    return int(_u64.unpack(data)[0])


# ---- the system's tables ------------------------------------------------------------------------

SYSTEM: Final = pack_u32(0)


def _system(letter: bytes) -> bytes:
    return SYSTEM + letter


STAMP: Final = _system(b"A")  # changes with every change of metadata
REPO_STAMP: Final = _system(b"a")  # + repo
COUNTER: Final = _system(b"#")  # + name: the last number given out
REPO: Final = _system(b"R")  # + repo -> RepoRecord
NODE: Final = _system(b"V")  # + version -> NodeRecord
UUID: Final = _system(b"U")  # + uuid or tag -> version
CHILD: Final = _system(b"C")  # + parent version + child version -> nothing
BRANCH: Final = _system(b"B")  # + repo + branch name -> version of its leaf
INSTANCE: Final = _system(b"I")  # + instance -> InstanceRecord
NAME: Final = _system(b"N")  # + repo + instance name -> instance
REPO_LOG: Final = _system(b"L")  # + repo + number -> line
NODE_LOG: Final = _system(b"l")  # + version + number -> line
MUTATION: Final = _system(b"M")  # + repo -> the last mutation id of the repo
EPOCH: Final = _system(b"E")  # + instance -> how often an admin has written to it at a committed node
DOOMED: Final = _system(b"X")  # + instance -> its store, or nothing: its data waits to be removed
IDENTITY: Final = _system(b"D")  # a random name of the metadata store, where there are other stores
OWNER: Final = _system(b"O")  # of another store: identity of its metadata store + its name there
REPLY: Final = _system(b"K")  # + hash of an Idempotency-Key -> KeptReply: what its request was answered
REPLY_TIME: Final = _system(b"k")  # + milliseconds since 1970 + the same hash -> nothing
BUSY: Final = _system(b"w")  # + instance -> nothing: it may have rows of WORK
BLOB: Final = _system(b"b")  # + FNV-128 -> content: the server's blob store


# ---- tables of an instance ----------------------------------------------------------------------

EVENTS: Final = (
    b"\x01"  # + version + mutation id -> JSON (not versioned the common way: an event belongs to one version)
)
BLOBS: Final = b"\x02"  # + FNV-128 -> content, not versioned
PROPERTIES: Final = b"\x03"  # + name, versioned: extents and the like
TOMBSTONES: Final = (
    b"\x04"  # nothing more: there once the first tombstone was put, so that the keys alone tell too little
)
NUMBERS: Final = b"\x05"  # + name -> a number that all versions share, not versioned
WORK: Final = (
    b"\x06"  # + version + what the type says: work that waits to be done at that version, not versioned otherwise
)
DATA: Final = b"\x10"  # blocks, keys, spans: whatever the type stores; further tables of a type count up from here


def table_prefix(instance: int, table: bytes) -> bytes:
    """What every key of an instance's table begins with."""
    return _u32.pack(instance) + table


def inverted(version: int) -> bytes:
    """A version as it ends a key."""
    return _u32.pack(NEWEST - version)


def version_of(key: bytes | memoryview) -> int:
    """The version at the end of a key."""
    return NEWEST - int(_u32.unpack(key[-4:])[0])


def after(prefix: bytes) -> bytes:
    """The first key behind all that begin with `prefix`."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1])


def block_key(block_zyx: Zyx) -> bytes:
    """A block's coordinates as 12 bytes that sort in z, y, x order, negative ones first."""
    z, y, x = block_zyx
    return _block.pack(z + 2**31, y + 2**31, x + 2**31)


def block_keys(blocks: BlockRange) -> list[bytes]:
    """The `block_key` of each block of a range, in their order."""
    pack, zero = _block.pack, 2**31
    (z0, y0, x0), (z1, y1, x1) = blocks.start_zyx, blocks.stop_zyx
    return [
        pack(z, y, x)
        for z in range(z0 + zero, z1 + zero)
        for y in range(y0 + zero, y1 + zero)
        for x in range(x0 + zero, x1 + zero)
    ]


def block_of(key: bytes | memoryview) -> Zyx:
    """The block coordinates of a `block_key`."""
    z, y, x = _block.unpack(key)
    return z - 2**31, y - 2**31, x - 2**31


def text_key(text: str) -> bytes:
    """Any string as bytes that sort by code point, and none of which begins another (NUL is escaped).

    Raises:
        BadRequest: the string has half of a surrogate pair, which UTF-8 cannot hold.
    """
    try:
        return text.encode().replace(b"\0", b"\0\xff") + b"\0\x01"
    except UnicodeEncodeError as error:
        raise BadRequest(f"{text[:40]!r} is not a text that UTF-8 can hold: {error.reason}") from None


def text_key_end(text: str) -> bytes:
    """A bound above the `text_key` of this string and of all before it, below those of all after it."""
    return text_key(text)[:-1] + b"\x02"


def text_of(key: bytes | memoryview) -> str:
    """The string of a `text_key`."""
    return bytes(key[:-2]).replace(b"\0\xff", b"\0").decode()


def texts_of(keys: list[bytes]) -> list[bytes]:
    """The UTF-8 bytes of the strings of many `text_key`s: faster than `text_of` for each."""
    joined = b"".join(keys)
    if joined.count(b"\0") == len(keys):  # none has an escaped NUL
        return joined.split(b"\0\1")[:-1]
    return [text_of(key).encode() for key in keys]

"""How a region is stored: one value for each layer of blocks with the same z.

Under the key z (4 bytes, big-endian, counted from -2^31) lie the layer's spans, sorted by y and x and disjoint, as three
columns of little-endian uint32: steps of y, steps of first x, blocks beyond the first. Steps are from span to span,
modulo 2^32. LZ4 packs the columns where that makes them smaller.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from dvid.errors import CorruptValue, MergeConflict
from dvid.geometry import MAX_COORDINATE, MIN_COORDINATE
from dvid.storage.protocol import Buffer
from dvid.versions import layout
from dvid.versions.edit import Edit
from dvid.versions.envelope import Format, Value, compress, expand
from dvid.versions.view import View

Ints = NDArray[np.int32]
Packed = list[tuple[bytes, bytes, Format]]

_KEY = struct.Struct(">I")
_AT_ONCE = 256
_COLUMN = np.dtype("<u4")


def _key(z: int) -> bytes:
    return _KEY.pack(z - MIN_COORDINATE)


def _z_of(key: bytes) -> int:
    return int(_KEY.unpack(key)[0]) + MIN_COORDINATE


# ---- one layer as bytes -------------------------------------------------------------------------


def encode_layer(spans: Ints) -> tuple[bytes, Format]:
    """A layer's spans, (n, 3) int32 of y, first x, last x, as bytes."""
    columns = np.empty((3, len(spans)), _COLUMN)
    unsigned = spans.view(np.uint32)
    columns[0, :1], columns[1, :1] = unsigned[:1, 0], unsigned[:1, 1]
    columns[0, 1:], columns[1, 1:] = np.diff(unsigned[:, 0]), np.diff(unsigned[:, 1])
    columns[2] = unsigned[:, 2] - unsigned[:, 1]
    plain = columns.tobytes()
    packed = compress(plain, Format.LZ4)
    return (packed, Format.LZ4) if len(packed) < len(plain) else (plain, Format.RAW)


def decode_layer(data: Buffer) -> Ints:
    """The spans that `encode_layer` made these bytes of, once they are expanded.

    Raises:
        CorruptValue: they are not three columns.
    """
    if len(data) % (3 * _COLUMN.itemsize):
        raise CorruptValue(f"a layer of a region has {len(data)} bytes, which is not a number of spans")
    columns = np.frombuffer(data, _COLUMN).reshape(3, -1)
    spans = np.empty((columns.shape[1], 3), np.uint32)
    np.cumsum(columns[0], out=spans[:, 0], dtype=np.uint32)
    np.cumsum(columns[1], out=spans[:, 1], dtype=np.uint32)
    np.add(spans[:, 1], columns[2], out=spans[:, 2])
    return spans.view(np.int32)


def _decoded(value: Value) -> Ints:
    return decode_layer(expand(value))


# ---- reading ------------------------------------------------------------------------------------


def read_layers(view: View, first_z: int = MIN_COORDINATE, last_z: int = MAX_COORDINATE) -> Iterator[tuple[int, Ints]]:
    """The layers from `first_z` to `last_z` that hold something, in order.

    Yields:
        z, and the layer's spans: (n, 3) int32 of y, first x, last x in blocks, sorted, disjoint.
    """
    first, last = max(first_z, MIN_COORDINATE), min(last_z, MAX_COORDINATE)
    if first <= last:
        beyond = None if last == MAX_COORDINATE else _key(last + 1)
        for key, value in view.scan(layout.DATA, _key(first), beyond):
            yield _z_of(key), _decoded(value)


def read_some(view: View, zs: list[int]) -> Iterator[tuple[int, Ints]]:
    """Those of the layers that hold something, in the order of `zs`; each z must be a 32-bit number."""
    for first in range(0, len(zs), _AT_ONCE):
        wanted = zs[first : first + _AT_ONCE]
        for z, value in zip(wanted, view.get_many(layout.DATA, map(_key, wanted)), strict=True):
            if value is not None:
                yield z, _decoded(value)


# ---- writing ------------------------------------------------------------------------------------


def pack_layers(spans: Ints) -> Packed:
    """Encode spans, (n, 4) int32 of z, y, first x, last x, sorted and disjoint, for `replace_layers`."""
    cuts = np.flatnonzero(spans[1:, 0] != spans[:-1, 0]) + 1
    return [
        (_key(int(layer[0, 0])), *encode_layer(np.ascontiguousarray(layer[:, 1:])))
        for layer in np.split(spans, cuts)
        if len(layer)
    ]


def replace_layers(edit: Edit, layers: Packed) -> None:
    """Make these the only layers of this version."""
    stays = {key for key, _, _ in layers}
    for key in _present(edit):
        if key not in stays:
            edit.delete(layout.DATA, key)
    for key, payload, form in layers:
        edit.put(layout.DATA, key, payload, form)


def _present(edit: Edit) -> Iterable[bytes]:
    """The keys of all layers, also of those that a merged node inherits in conflict: replacing them decides it."""
    try:
        return list(edit.keys(layout.DATA))
    except MergeConflict:
        return _of_any_version(edit)


def _of_any_version(edit: Edit) -> list[bytes]:
    prefix = layout.table_prefix(edit.instance.number, layout.DATA)
    stored = edit.snapshot.scan(prefix, layout.after(prefix))
    return list(dict.fromkeys(bytes(key[len(prefix) : -layout.VERSION_BYTES]) for key, _ in stored))

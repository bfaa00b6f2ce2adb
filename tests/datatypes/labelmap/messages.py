"""Protobuf messages as clients write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Zyx = tuple[int, int, int]


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def field(number: int, value: int | str | bytes) -> bytes:
    """A field of a message: a number, or text, bytes, or a message in it."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def mapping_ops(*operations: tuple[int, Iterable[int]]) -> bytes:
    """A MappingOps message of (mapped, originals) pairs."""
    return b"".join(
        field(1, field(1, 7) + field(2, mapped) + field(3, b"".join(map(varint, originals))))
        for mapped, originals in operations
    )


def label_index(
    label: int,
    blocks: Mapping[Zyx, Mapping[int, int]],
    mutation: int = 0,
    time: str = "",
    user: str = "",
    app: str = "",
) -> bytes:
    """A LabelIndex message of {block: {supervoxel: voxels}}."""
    message = b""
    for block, counts in blocks.items():
        inside = b"".join(field(1, field(1, supervoxel) + field(2, count)) for supervoxel, count in counts.items())
        message += field(1, field(1, _key(block)) + field(2, inside))
    message += field(2, label) + field(3, mutation)
    return message + field(4, time) + field(5, user) + field(6, app)


def label_indices(*indices: bytes) -> bytes:
    """A LabelIndices message."""
    return b"".join(field(1, index) for index in indices)


def _key(block_zyx: Zyx) -> int:
    """A block's coordinates in 21 bits each, a sign and a magnitude, z in the highest."""
    key = 0
    for coordinate in block_zyx:
        key = key << 21 | (abs(coordinate) | (coordinate < 0) << 20)
    return key

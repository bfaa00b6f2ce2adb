"""Blocks of labels in Arrow files, one for each shard of a Neuroglancer precomputed volume.

A shard is made of the blocks whose compressed Morton codes differ in their lowest bits only: a box of blocks, in the form
of which later programs build the shards themselves. For each there are two files, named after the shard's first voxel:

    X_Y_Z.arrow  an Arrow IPC stream; each row is a block, in the order z, y, x
    X_Y_Z.csv    "# schema_size=N", then x, y, z of each block, in blocks, with the offset and size of its record batch in the
                 stream, and its row in the batch

Source of the sharded format: https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/sharded.md
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from dvid.errors import BadRequest
from dvid.interop.precomputed import KIND, MAX_INFO_BYTES
from dvid.interop.volumes import ShapeZYX

SHARDED = "neuroglancer_uint64_sharded_v1"
MAX_BITS = 64
MAX_BATCH = 1 << 16


@dataclass(frozen=True, slots=True)
class ShardedScale:
    """A scale of a volume that is to be sharded."""

    grid_zyx: ShapeZYX
    """How many blocks it has."""
    shard_zyx: ShapeZYX
    """How many blocks a shard has; those at the end may have less."""


@dataclass(frozen=True, slots=True)
class ShardedSpec:
    """What the description of a volume says of its shards."""

    scales: tuple[ShardedScale, ...]
    batch: int
    """Blocks of a record batch."""


def read_spec(path: str, block_zyx: ShapeZYX) -> ShardedSpec:
    """Reads the description of a volume: JSON as in its file `info`, with an optional "batch_size" (1).

    Args:
        path: Of the file.
        block_zyx: Of the blocks that are to be exported: the chunks of the volume have to be these.

    Raises:
        BadRequest: If it is none, or of a kind of shards that is not made.
    """
    try:
        with open(path, "rb") as file:
            spec = json.loads(file.read(MAX_INFO_BYTES))
        if spec.get("@type", KIND) != KIND:
            raise ValueError(f"its @type is {spec['@type']!r}, not {KIND!r}")
        batch = int(spec.get("batch_size") or 1)
        if not 1 <= batch <= MAX_BATCH:
            raise ValueError(f"a batch_size from 1 to {MAX_BATCH} was expected, not {batch}")
        scales = tuple(_scale(scale, block_zyx) for scale in spec["scales"])
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise BadRequest(f"{path} describes no sharded volume: {error}") from None
    return ShardedSpec(scales, batch)


def _scale(scale: dict[str, Any], block_zyx: ShapeZYX) -> ShardedScale:
    sharding = scale["sharding"]
    if sharding.get("@type") != SHARDED:
        raise ValueError(f"sharding of the @type {SHARDED} was expected, not {sharding.get('@type')!r}")
    if sharding["hash"] != "identity":
        raise ValueError(f"shards with the hash 'identity' are made, not with {sharding['hash']!r}")
    chunk = [int(edge) for edge in scale["chunk_sizes"][0]]
    if tuple(reversed(chunk)) != block_zyx:
        raise ValueError(f"chunks of {chunk} are not the blocks of {list(reversed(block_zyx))} (x, y, z)")
    grid = [-(-int(size) // edge) for size, edge in zip(scale["size"], chunk, strict=True)]
    if min(grid) < 1:
        raise ValueError(f"its size is {scale['size']}")
    preshift, minishard, shard = (int(sharding[f"{name}_bits"]) for name in ("preshift", "minishard", "shard"))
    if min(preshift, minishard, shard) < 0 or preshift + minishard + shard > MAX_BITS:
        raise ValueError(f"preshift, minishard and shard have {preshift}, {minishard} and {shard} bits")
    wanted = [(edge - 1).bit_length() for edge in grid]
    if preshift + minishard + shard < sum(wanted):
        raise ValueError(f"its {sum(wanted)} bits of a chunk's number do not fit into {preshift + minishard + shard}")
    x, y, z = (1 << bits for bits in _lowest(wanted, preshift + minishard))
    return ShardedScale((grid[2], grid[1], grid[0]), (z, y, x))


def _lowest(bits: list[int], count: int) -> list[int]:
    """How many of the lowest bits of a compressed Morton code come from each axis."""
    taken = [0] * len(bits)
    for level in range(max(bits, default=0)):
        for axis, have in enumerate(bits):
            if level < have and sum(taken) < count:
                taken[axis] += 1
    return taken


@dataclass(frozen=True, slots=True)
class ShardBlock:
    """A block of a shard."""

    place_zyx: ShapeZYX
    supervoxels: npt.NDArray[np.uint64]
    """Its label list."""
    bodies: npt.NDArray[np.uint64]
    """The body of each of them."""
    data: bytes | memoryview
    """The block in DVID's compressed layout, without gzip."""


def need_arrow() -> None:
    """Refuses to begin where pyarrow is not installed.

    Raises:
        BadRequest: If it is not.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise BadRequest(
            "Arrow files are written by pyarrow, which is not installed: python3 -m pip install 'dvid[arrow]'"
        ) from None


def write_shard(path: str, blocks: Iterable[ShardBlock], batch: int) -> int:
    """Writes a shard, if it has a block.

    Args:
        path: Of its files, without extensions; its folder is made.
        blocks: What it holds.
        batch: Blocks of a record batch.

    Returns:
        How many blocks it has.
    """
    import pyarrow as pa

    coming = iter(blocks)
    first = next(coming, None)
    if first is None:
        return 0
    os.makedirs(os.path.dirname(path), exist_ok=True)
    schema = _schema(pa)
    begin, count = len(schema.serialize()), 0
    with (
        open(f"{path}.arrow", "xb") as stream,
        open(f"{path}.csv", "x") as index,
        pa.ipc.new_stream(stream, schema) as writer,
    ):
        index.write(f"# schema_size={begin}\nx,y,z,offset,size,batch_idx\n")
        coming = chain((first,), coming)
        while some := list(islice(coming, batch)):
            writer.write_batch(_record(pa, schema, some))
            end = stream.tell()
            for row, block in enumerate(some):
                z, y, x = block.place_zyx
                index.write(f"{x},{y},{z},{begin},{end - begin},{row}\n")
            begin, count = end, count + len(some)
    return count


def _record(pa: Any, schema: Any, blocks: list[ShardBlock]) -> Any:
    from imagecodecs import zstd_encode

    places = [pa.array([block.place_zyx[axis] for block in blocks], pa.int32()) for axis in (2, 1, 0)]
    columns = [
        *places,
        _lists(pa, [block.bodies for block in blocks]),
        _lists(pa, [block.supervoxels for block in blocks]),
        pa.array([zstd_encode(bytes(block.data)) for block in blocks], pa.binary()),
        pa.array([len(block.data) for block in blocks], pa.uint32()),
    ]
    return pa.record_batch(columns, schema=schema)


def _schema(pa: Any) -> Any:
    kinds = {
        "chunk_x": pa.int32(),
        "chunk_y": pa.int32(),
        "chunk_z": pa.int32(),
        "labels": pa.list_(pa.uint64()),
        "supervoxels": pa.list_(pa.uint64()),
        "dvid_compressed_block": pa.binary(),
        "uncompressed_size": pa.uint32(),
    }
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in kinds.items()])


def _lists(pa: Any, lists: list[npt.NDArray[np.uint64]]) -> Any:
    bounds = np.concatenate(([0], np.cumsum([len(part) for part in lists]))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(bounds), pa.array(np.concatenate(lists)))

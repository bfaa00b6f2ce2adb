"""Label blocks in plain numpy, for comparison: the format as its description has it, one bit at a time."""

import struct

import numpy as np
from hypothesis import strategies as st

SIDES = [8, 16, 24, 40]


def bits_for(labels):
    return max(labels - 1, 0).bit_length()


def decode(data):
    """The voxels of a serialized block: (z, y, x) uint64."""
    gx, gy, gz, count = struct.unpack_from("<4I", data)
    labels = np.frombuffer(data, "<u8", count, 16)
    out = np.zeros((gz * 8, gy * 8, gx * 8), np.uint64)
    if count == 1:
        out[:] = labels[0]
        return out
    subs = gx * gy * gz
    numbers = np.frombuffer(data, "<u2", subs, 16 + 8 * count)
    tables = 16 + 8 * count + 2 * subs
    values = tables + 4 * int(numbers.astype(int).sum())
    for i, number in enumerate(numbers.tolist()):
        table = labels[np.frombuffer(data, "<u4", number, tables)]
        tables += 4 * number
        bits = bits_for(number)
        sub = np.full(512, table[0] if number else 0, np.uint64)
        if bits:
            packed = np.unpackbits(np.frombuffer(data, np.uint8, 64 * bits, values)).reshape(512, bits)
            sub = table[packed.astype(int) @ (1 << np.arange(bits)[::-1])]
        values += 64 * bits
        z, y, x = (8 * int(at) for at in np.unravel_index(i, (gz, gy, gx)))
        out[z : z + 8, y : y + 8, x : x + 8] = sub.reshape(8, 8, 8)
    return out


def serialize(grid_zyx, labels, tables, voxels):
    """A block of any legal form: `tables` and `voxels` hold a table and 512 places in it for each sub-block."""
    data = struct.pack("<4I", *grid_zyx[::-1], len(labels)) + np.array(labels, "<u8").tobytes()
    if len(labels) == 1:
        return data
    data += np.array([len(table) for table in tables], "<u2").tobytes()
    data += b"".join(np.array(table, "<u4").tobytes() for table in tables)
    for table, places in zip(tables, voxels, strict=True):
        bits = bits_for(len(table))
        data += np.packbits((np.array(places)[:, None] >> np.arange(bits)[::-1]) & 1).tobytes()
    return data


@st.composite
def volumes(draw, sides=SIDES):
    """Voxels as segmentations have them, from one label everywhere to another one in each voxel."""
    shape = tuple(draw(st.lists(st.sampled_from(sides), min_size=3, max_size=3)))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    kinds = draw(st.sampled_from([1, 2, 3, 5, 16, 17, 100, 600, 100000]))
    pool = random.integers(0, 2**64, kinds, np.uint64, endpoint=False)
    pool[0] = draw(st.sampled_from([0, 1, 2**63, 2**64 - 1]))
    grain = draw(st.sampled_from([1, 1, 3, 8, 11]))
    coarse = pool[random.integers(0, kinds, [-(-side // grain) for side in shape])]
    for axis in range(3):
        coarse = coarse.repeat(grain, axis)
    return np.ascontiguousarray(coarse[: shape[0], : shape[1], : shape[2]])


@st.composite
def serialized(draw):
    """Legal blocks that no encoder here writes: empty sub-blocks, duplicates in lists and tables, unused labels."""
    grid = tuple(draw(st.lists(st.integers(1, 3), min_size=3, max_size=3)))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.sampled_from([1, 2, 3, 40, 700]))
    labels = random.integers(0, draw(st.sampled_from([3, 2**63])), count, np.uint64)
    sizes = random.choice([0, 1, 2, 3, 4, 5, 9, 20, 33, 100, 200, 256, 257, 512], int(np.prod(grid)))
    tables = [random.integers(0, count, size) for size in sizes]
    voxels = [random.integers(0, max(size, 1), 512) for size in sizes]
    return serialize(grid, labels, tables, voxels)

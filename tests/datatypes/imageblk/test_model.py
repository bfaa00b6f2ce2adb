"""Random writes of boxes to several versions, and reads of any box, compared with plain arrays."""

from itertools import product

import lz4.block
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from isal import isal_zlib

LOW, EDGE = -20, 44  # the model knows the voxels from LOW to LOW + EDGE along each axis
TYPES = ["uint8blk", "uint16blk", "uint32blk", "uint64blk", "float32blk", "rgba8blk"]
BLOCK_SIZES = ["16,16,16", "8,12,20", "1,40,3", "64,64,64"]


# Each example makes a repo: few of them, and none to shrink a failure.
QUICK = settings(
    max_examples=8,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


@st.composite
def starts_and_shapes(draw, largest=30, smallest=1):
    shape = draw(st.tuples(*[st.integers(smallest, largest)] * 3))
    return tuple(draw(st.integers(LOW, LOW + EDGE - extent)) for extent in shape), shape


class Model:
    """What an image holds at one version."""

    def __init__(self, image, world=None):
        self.world = np.zeros(image.shape((EDGE,) * 3), image.dtype) if world is None else world.copy()

    def part(self, start, shape):
        return tuple(slice(a - LOW, a - LOW + n) for a, n in zip(start, shape, strict=True))


ENCODERS = {
    "": bytes,
    "lz4": lambda data: lz4.block.compress(data, store_size=False),
    "gzip": lambda data: isal_zlib.compress(data, 1, 31),
}


@pytest.mark.parametrize(
    ("typename", "compression"),
    [*product(TYPES, ["lz4"]), *product(["uint8blk", "uint16blk"], ["none", "gzip", "snappy"])],
)
@QUICK
@given(data=st.data())
def test_reads_give_what_was_written_at_that_version_or_before(make_image, typename, compression, data):
    image = make_image(typename, BlockSize=data.draw(st.sampled_from(BLOCK_SIZES)), Compression=compression)
    models = {image.node: Model(image)}
    leaf, branches, committed = image.node, 0, set()
    for number in range(data.draw(st.integers(2, 6))):
        start, shape = data.draw(starts_and_shapes())
        highest = data.draw(st.sampled_from([1, 3, 250]))
        voxels = image.random(shape, number, highest + 1)
        wire = data.draw(st.sampled_from(["", "lz4", "gzip"]))
        query = f"?unaligned=true&compression={wire}"
        body = ENCODERS[wire](np.ascontiguousarray(voxels).tobytes())
        size, offset = ("_".join(map(str, numbers[::-1])) for numbers in (shape, start))
        image.post(f"raw/0_1_2/{size}/{offset}{query}", body, node=leaf)
        models[leaf].world[models[leaf].part(start, shape)] = voxels
        step = data.draw(st.sampled_from(["stay", "version", "branch"]))
        if step != "stay":
            # By number: UUIDs are random, and examples must be repeatable.
            parent = list(models)[data.draw(st.integers(0, len(models) - 1))]
            if parent not in committed:
                image.commit(parent)
                committed.add(parent)
            if step == "version" and parent == leaf:
                leaf = image.child(parent)
            else:
                branches += 1
                leaf = image.child(parent, f"branch{branches}")
            models[leaf] = Model(image, models[parent].world)
    for node, model in models.items():
        for _ in range(2):
            start, shape = data.draw(starts_and_shapes(EDGE))
            assert np.array_equal(image.read(start, shape, node=node), model.world[model.part(start, shape)])


@QUICK
@given(data=st.data())
def test_writes_to_jpeg_stored_images_come_back_nearly(make_image, data):
    image = make_image("uint8blk", BlockSize="16,16,16", Compression="jpeg:95")
    start, shape = data.draw(starts_and_shapes(smallest=12))
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    smooth = (60 + 2 * z + y + 3 * x).astype(np.uint8)
    image.write(start, smooth, "?unaligned=true")
    found = image.read(start, shape)
    # The face of the box is an edge in the blocks that it cuts, which JPEG blurs by some voxels.
    assert np.abs(found.astype(int) - smooth).mean() < 15
    aligned = np.full((16, 32, 16), 120, np.uint8)
    image.write((-16, 0, 32), aligned)
    assert np.abs(image.read((-16, 0, 32), (16, 32, 16)).astype(int) - 120).max() <= 2

from __future__ import annotations

import os
import tracemalloc

import numpy as np
import pytest

from dvid.errors import BadRequest, Conflict, TooLarge
from dvid.interop import open_source
from dvid.interop.mappings import read_mapping
from dvid.interop.sample import generate_em, generate_segmentation, iter_slabs, write_sample

SHAPE = (70, 90, 110)


@pytest.fixture(scope="module")
def sample():
    return generate_em(SHAPE, 5), generate_segmentation(SHAPE, 5)


def test_a_seed_gives_one_sample(sample):
    np.testing.assert_array_equal(generate_em(SHAPE, 5), sample[0])
    assert (generate_em(SHAPE, 6) != sample[0]).mean() > 0.5


@pytest.mark.parametrize("depth", [1, 7, 16, 33, 100])
def test_slabs_of_any_thickness_fit_together(sample, depth):
    image, labels = sample
    slabs = list(iter_slabs(SHAPE, 5, depth))
    assert [slab.start_z for slab in slabs] == list(range(0, SHAPE[0], depth))
    np.testing.assert_array_equal(np.concatenate([slab.image for slab in slabs]), image)
    np.testing.assert_array_equal(np.concatenate([slab.labels for slab in slabs]), labels)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 64, 64), (3, 17, 200), (40, 1, 9)])
def test_any_shape_is_drawn(shape):
    image, labels = generate_em(shape, 1), generate_segmentation(shape, 1)
    assert image.shape == labels.shape == shape
    assert (image.dtype, labels.dtype) == (np.uint8, np.uint64)
    assert labels.min() >= 1


def test_membranes_lie_where_the_segmentation_has_its_borders(sample):
    image, labels = sample
    border = np.zeros(SHAPE, bool)
    for axis in range(3):
        changes = np.diff(labels, axis=axis) != 0
        ahead = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        behind = tuple(slice(-1) if a == axis else slice(None) for a in range(3))
        border[ahead] |= changes
        border[behind] |= changes
    assert 0.02 < border.mean() < 0.4
    # Dark membranes between, bright cytoplasm within.
    assert image[border].mean() < 90
    assert image[~border].mean() > 130
    assert np.median(image[~border]) > 150


def test_neurites_are_of_various_calibres_and_run_through_many_planes(sample):
    labels = generate_segmentation((96, 200, 200), 2)
    found, sizes = np.unique(labels, return_counts=True)
    assert len(found) > 40
    assert np.percentile(sizes, 90) > 10 * np.percentile(sizes, 25)
    first, last = np.unique(labels[20]), np.unique(labels[60])
    assert len(np.intersect1d(first, last)) > 10


def test_neighbouring_planes_show_the_same_cells(sample):
    _, labels = sample
    assert (labels[1:] == labels[:-1]).mean() > 0.9


def test_memory_follows_the_slab_not_the_volume():
    list(iter_slabs((16, 64, 64)))
    tracemalloc.start()
    try:
        for count, slab in enumerate(iter_slabs((4000, 64, 64), depth=16, threads=2)):
            assert slab.image.shape == (16, 64, 64)
            if count == 4:
                break
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The volume with its labels is 147 MB; the tiles of noise and what makes them are what is measured here.
    assert peak < 120 << 20


@pytest.mark.parametrize("name", ["v.h5", "v.zarr", "v.npy", "v.tif", "em/*.png"])
def test_a_sample_is_written_in_the_format_of_its_extension(tmp_path, sample, name):
    planes = []
    write_sample(str(tmp_path / name), SHAPE, 5, segmentation_path=str(tmp_path / "labels.h5"), progress=planes.append)
    with open_source(str(tmp_path / name)) as source:
        np.testing.assert_array_equal(source.read((0, 0, 0), SHAPE), sample[0])
    with open_source(str(tmp_path / "labels.h5")) as source:
        assert source.voxel_size_zyx == (8.0, 8.0, 8.0)
        np.testing.assert_array_equal(source.read((0, 0, 0), SHAPE), sample[1])
    assert planes == [16, 32, 48, 64, 70]
    assert not [entry for entry in os.listdir(tmp_path) if entry.endswith(".progress")]
    with pytest.raises(Conflict):
        write_sample(str(tmp_path / name), SHAPE, 5)


@pytest.mark.parametrize(
    ("shape", "seed", "error", "message"),
    [
        ((0, 4, 4), 0, BadRequest, "at least one voxel"),
        ((4, -4, 4), 0, BadRequest, "at least one voxel"),
        ((10**5, 10**5, 10**5), 0, TooLarge, "voxels"),
        ((4, 4, 4), -1, BadRequest, "seed"),
        ((4, 4, 4), 2**63, BadRequest, "seed"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_a_file_is_made(tmp_path, shape, seed, error, message):
    with pytest.raises(error, match=message):
        write_sample(str(tmp_path / "v.h5"), shape, seed)
    assert os.listdir(tmp_path) == []


def test_supervoxels_are_pieces_of_neurites_and_the_mapping_tells_of_which(tmp_path):
    paths = {"segmentation_path": str(tmp_path / "pieces.npy"), "mapping_path": str(tmp_path / "pieces.csv")}
    write_sample(str(tmp_path / "v.npy"), (80, 40, 48), 5, **paths)
    pieces, neurites = np.load(tmp_path / "pieces.npy"), generate_segmentation((80, 40, 48), 5)
    supervoxels, bodies = read_mapping(str(tmp_path / "pieces.csv"))
    table = dict(zip(supervoxels.tolist(), bodies.tolist(), strict=True))
    assert {piece: table[piece] for piece in np.unique(pieces[pieces != 0]).tolist()} == table
    pairs = np.unique(np.stack((pieces.ravel(), neurites.ravel()), 1), axis=0)
    assert all(table.get(piece, 0) == neurite for piece, neurite in pairs.tolist())
    assert not set(pieces[:64].ravel().tolist()) & set(pieces[64:].ravel().tolist()) - {0}
    with pytest.raises(Conflict):
        write_sample(str(tmp_path / "w.npy"), (8, 8, 8), 5, mapping_path=paths["mapping_path"])

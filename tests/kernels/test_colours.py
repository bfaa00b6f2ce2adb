"""Colours of labels."""

import numpy as np

from dvid.kernels.colours import pseudocolours


def test_a_label_has_one_colour_wherever_it_is_and_0_is_black():
    labels = np.random.default_rng(0).integers(0, 50, (33, 70)).astype(np.uint64) * np.uint64(2**57 + 3)
    colours = pseudocolours(labels)
    assert (colours.dtype, colours.shape) == (np.uint8, (33, 70, 3))
    for label in np.unique(labels):
        assert len(np.unique(colours[labels == label], axis=0)) == 1
    assert not colours[labels == 0].any()
    np.testing.assert_array_equal(pseudocolours(labels[:5, :7].copy()), colours[:5, :7])


def test_neighbouring_numbers_look_different():
    colours = pseudocolours(np.arange(1, 2001, dtype=np.uint64).reshape(40, 50)).reshape(-1, 3).astype(int)
    assert len(np.unique(colours, axis=0)) > 1990
    assert np.abs(np.diff(colours, axis=0)).sum(1).mean() > 150
    assert pseudocolours(np.array([[2**64 - 1, 2**63]], np.uint64)).any(2).all()


def test_the_colours_are_those_of_the_finalizer_of_murmurhash3():
    def mixed(label):
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            label = (label ^ label >> 33) * factor % 2**64
        return label ^ label >> 33

    for label in (1, 12345, 2**63 + 9, 2**64 - 1):
        (found,) = pseudocolours(np.array([[label]], np.uint64))[0].tolist()
        assert found == [mixed(label) >> shift & 255 for shift in (0, 8, 16)]


def test_images_without_pixels_have_no_colours():
    assert pseudocolours(np.empty((0, 5), np.uint64)).shape == (0, 5, 3)

"""`dvid fetch` and `dvid push-volume`: a volume by its address."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def place(on_server):
    """The command without a target, the address of a node, and the server."""
    uuid = on_server.uuid("repos", "new", "fly")
    return on_server.on(), f"{on_server.target[1].removeprefix('http://').rstrip('/')}/{uuid[:10]}", on_server


@pytest.mark.parametrize("form", ["{}/gray", "http://{}/gray", "dvid://http://{}/gray", "{}:master/gray/"])
def test_what_was_pushed_is_fetched_the_same_by_any_form_of_the_address(place, form):
    dvid, node, _ = place
    voxels = np.random.default_rng(5).integers(0, 256, (40, 70, 50), np.uint8)
    np.save(dvid.folder / "in.npy", voxels)
    dvid("push-volume", "in.npy", form.format(node), "--offset=-7,11,40")
    dvid("fetch", form.format(node), "out.npy")
    assert np.array_equal(np.load(dvid.folder / "out.npy"), voxels)
    dvid("fetch", form.format(node), "box.npy", "--offset=-2,12,41", "--size", "3,4,5")
    assert np.array_equal(np.load(dvid.folder / "box.npy"), voxels[1:6, 1:5, 5:8])


def test_labels_are_pushed_into_a_labelmap_and_fetched_at_a_lower_resolution(place):
    dvid, node, _ = place
    labels = np.repeat(np.repeat(np.repeat(np.arange(1, 9, dtype=np.uint64).reshape(2, 2, 2), 32, 0), 32, 1), 32, 2)
    np.save(dvid.folder / "in.npy", labels)
    dvid("push-volume", "in.npy", f"{node}/segmentation", "--type", "labelmap")
    dvid("fetch", f"{node}/segmentation", "out.npy")
    assert np.array_equal(np.load(dvid.folder / "out.npy"), labels)


@pytest.mark.parametrize("address", ["localhost:8000", "gray", "http://localhost/a", "a b/c/d", ""])
def test_what_is_no_address_is_refused(plain, address):
    assert "HOST[:PORT]/UUID/NAME was expected" in plain.fails("fetch", address, "out.npy", code=2)
    assert "HOST[:PORT]/UUID/NAME was expected" in plain.fails("push-volume", "in.npy", address, code=2)


def test_what_the_server_does_not_have_is_named(place):
    dvid, node, _ = place
    assert "'nothing'" in dvid.fails("fetch", f"{node}/nothing", "out.npy", code=2)
    assert not (dvid.folder / "out.npy").exists()


def test_a_server_that_is_not_there_is_named(plain):
    assert "127.0.0.1:9" in plain.fails("fetch", "127.0.0.1:9/abc/gray", "out.npy", code=1)

"""A server with `referenceFaults` is wrong where the reference is, and nowhere else."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.datatypes.conftest import MakeInstance
from tests.datatypes.labelmap.conftest import Segmentation

from dvid.codecs.sparsevols import decode_rles

FAULTS = {"server.referenceFaults": True}
SHAPE = (16, 16, 48)
FRAYED, PLAIN, SOLID, BEHIND = 1, 2, 3, 4
"""Labels of voxels; FRAYED and PLAIN are one body."""


def voxels() -> np.ndarray[Any, Any]:
    """Three blocks of 16^3 along x: the first two of several labels, the last one of one label."""
    made = np.full(SHAPE, PLAIN, np.uint64)
    made[::2, ::3, :8] = FRAYED
    made[1::2, ::5, 8:16] = np.arange(10, 18)
    made[8:, 8:, 16:24] = 20
    made[:, :, 32:] = SOLID
    return made


class Written(Segmentation):
    """A segmentation with those voxels, and before them a block of one label at x from -16 to -1."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, BlockSize="16,16,16", **options)
        self.write((0, 0, 0), voxels())
        self.write((0, 0, -16), np.full((16, 16, 16), BEHIND, np.uint64))
        self.post("merge", [PLAIN, FRAYED])

    def label(self, x: int, y: int, z: int, query: str = "?supervoxels=true") -> int:
        """The supervoxel of a voxel, or what the query asks for."""
        return int(self.get(f"label/{x}_{y}_{z}{query}").json["Label"])

    def mask(self, query: str) -> np.ndarray[Any, Any]:
        """Where `sparsevol` says that a label is."""
        mask = np.zeros(SHAPE, bool)
        data = self.get(f"sparsevol/{query}").content
        runs = np.frombuffer(data, "<i4").reshape(-1, 4) if "srles" in query else decode_rles(data)
        for x, y, z, length in runs.tolist():
            mask[z, y, x : x + length] = True
        return mask

    def head(self, query: str) -> int:
        return self.status("HEAD", f"sparsevol/{query}")


@pytest.fixture(scope="module")
def faulty(make_instance: MakeInstance) -> Written:
    """Never changed by a test, as the others."""
    return make_instance("labelmap", "seg", kind=Written, limits=FAULTS)


@pytest.fixture(scope="module")
def right(make_instance: MakeInstance) -> Written:
    return make_instance("labelmap", "seg", kind=Written)


# ---- label, labels ------------------------------------------------------------------------------


def test_a_point_at_negative_coordinates_is_looked_up_elsewhere(faulty: Written, right: Written) -> None:
    points = {
        (-1, -1, -1): 0,  # before the first 8^3 voxels of block 0
        (-1, 9, 1): 17,  # the voxel (15, 0, 1), eight rows and a voxel before
        (17, -5, 9): PLAIN,  # in 8^3 voxels of one label
        (1, -4, 9): FRAYED,  # the voxel (1, 12, 0)
        (33, -5, -9): SOLID,  # in a block of one label
        (-9, 8, 0): 0,  # the reference fails
        (-16, 5, 5): BEHIND,  # the first voxel of a block is found
        (-100, 5, 5): 0,  # there is no such block
    }
    assert {point: faulty.label(*point) for point in points} == points
    assert faulty.get("labels?supervoxels=true", body=json.dumps(list(points))).json == list(points.values())
    assert [right.label(*point) for point in points] == [0, BEHIND, 0, 0, 0, BEHIND, BEHIND, 0]


def test_a_point_that_goes_astray_has_the_body_of_where_it_arrives(faulty: Written) -> None:
    assert faulty.label(1, -4, 9, "") == PLAIN


coordinates = st.one_of(st.integers(-40, 50), st.integers(-(2**31), 2**31 - 1))


@settings(max_examples=50)
@given(points=st.lists(st.tuples(coordinates, coordinates, coordinates), max_size=30))
def test_any_points_are_answered_and_those_that_are_not_negative_rightly(
    faulty: Written, right: Written, points: list[tuple[int, int, int]]
) -> None:
    found = faulty.get("labels?supervoxels=true", body=json.dumps(points)).json
    assert set(found) <= {0, BEHIND, *np.unique(voxels()).tolist()}
    expected = right.get("labels?supervoxels=true", body=json.dumps(points)).json
    there = [at for at, point in enumerate(points) if min(point) >= 0]
    assert [found[at] for at in there] == [expected[at] for at in there]


# ---- sparsevol ----------------------------------------------------------------------------------


def cut(mask: np.ndarray[Any, Any], bounds: dict[str, int]) -> np.ndarray[Any, Any]:
    """What of a mask lies within bounds, whose last voxel counts."""
    mask = mask.copy()
    for axis, name in enumerate("zyx"):
        at = np.arange(SHAPE[axis])
        inside = (at >= bounds.get(f"min{name}", 0)) & (at <= bounds.get(f"max{name}", 99))
        mask &= inside.reshape([-1 if other == axis else 1 for other in range(3)])
    return mask


def in_one_label(mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What of a mask lies in 8^3 voxels of one label, in blocks of several."""
    kept = np.zeros(SHAPE, bool)
    for z, y, x in np.ndindex(2, 2, 4):  # not the last block, which has one
        sub = (slice(8 * z, 8 * z + 8), slice(8 * y, 8 * y + 8), slice(8 * x, 8 * x + 8))
        kept[sub] = mask[sub] & (len(np.unique(voxels()[sub])) == 1)
    return kept


@pytest.mark.parametrize("form", ["rles", "srles"])
def test_runs_go_on_beyond_maxx_in_sub_blocks_of_one_label_only(faulty: Written, right: Written, form: str) -> None:
    body = np.isin(voxels(), (FRAYED, PLAIN))
    reached = {3: 3, 12: 12, 15: 15, 16: 23, 18: 23, 23: 23, 24: 31, 31: 31}
    for maxx, last in reached.items():
        query = f"{PLAIN}?format={form}&maxx={maxx}"
        np.testing.assert_array_equal(right.mask(query), cut(body, {"maxx": maxx}))
        np.testing.assert_array_equal(faulty.mask(query), cut(body, {"maxx": last}))
    solid = faulty.mask(f"{SOLID}?format={form}&maxx=35")
    np.testing.assert_array_equal(solid, cut(voxels() == SOLID, {"maxx": 35}))


@settings(max_examples=60)
@given(
    supervoxel=st.sampled_from([FRAYED, PLAIN, SOLID, 17, 20]),
    bounds=st.dictionaries(st.sampled_from(["minx", "maxx", "miny", "maxy", "minz", "maxz"]), st.integers(0, 47)),
    form=st.sampled_from(["rles", "srles"]),
)
def test_no_other_bound_is_exceeded(
    faulty: Written, right: Written, supervoxel: int, bounds: dict[str, int], form: str
) -> None:
    query = f"{supervoxel}?supervoxels=true&format={form}" + "".join(f"&{key}={value}" for key, value in bounds.items())
    mask = voxels() == supervoxel
    expected = cut(mask, bounds)
    if "maxx" in bounds and bounds.get("minx", 0) <= bounds["maxx"]:
        beyond = {**bounds, "minx": max(bounds.get("minx", 0), bounds["maxx"] & ~7), "maxx": bounds["maxx"] | 7}
        expected |= cut(in_one_label(mask), beyond)
    if right.status("GET", f"sparsevol/{query}") == 404:  # none of its blocks lies within the bounds
        assert faulty.status("GET", f"sparsevol/{query}") == 404
        assert not expected.any()
        return
    np.testing.assert_array_equal(faulty.mask(query), expected)
    np.testing.assert_array_equal(right.mask(query), cut(mask, bounds))


def test_blocks_as_a_whole_are_the_same(faulty: Written, right: Written) -> None:
    for query in (f"{PLAIN}?exact=false&maxx=18", f"{PLAIN}?format=blocks&maxx=18", f"{PLAIN}?maxx={2**31 - 2}"):
        assert faulty.get(f"sparsevol/{query}").content == right.get(f"sparsevol/{query}").content


def test_head_tells_whether_a_body_is_outside_of_bounds(faulty: Written, right: Written) -> None:
    asked = {
        f"{PLAIN}?minx=0&maxx=31": (204, 200),
        f"{PLAIN}?minx=32": (200, 204),
        f"{PLAIN}?maxx=15": (200, 200),
        f"{SOLID}?maxx=31": (200, 204),
        f"{SOLID}?minx=47&maxz=0": (204, 200),
        f"{FRAYED}?supervoxels=true&maxx=15": (200, 200),  # its body goes on
        f"{BEHIND}?minx=-16": (204, 200),
        f"{BEHIND}?minx=-5": (200, 200),  # divided towards zero, too
        f"{PLAIN}": (200, 200),
        "999": (204, 204),
        "999?maxx=31": (204, 204),
        "999?maxx=31&supervoxels=true": (204, 204),
    }
    assert {query: (faulty.head(query), right.head(query)) for query in asked} == asked


def test_other_types_that_share_the_requests_do_not_share_the_faults(make_instance: MakeInstance) -> None:
    made = make_instance("labelarray", "seg", kind=Written, limits=FAULTS)
    assert made.label(-1, 9, 1, "") == BEHIND
    assert made.head(f"{PLAIN}?minx=0&maxx=31") == 200
    np.testing.assert_array_equal(made.mask(f"{PLAIN}?maxx=18"), cut(np.isin(voxels(), (FRAYED, PLAIN)), {"maxx": 18}))

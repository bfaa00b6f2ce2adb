import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvidclient import world
from dvidclient.errors import BadArgument

UNITS = ["nm", "nanometers", "um", "µm", "μm", "micron", "mm", "Angstrom", "meter"]
SIZES = st.tuples(*[st.floats(1e-3, 1e4)] * 3)


@pytest.mark.parametrize(
    ("unit", "length"),
    [
        ("nm", 1e-9),
        ("Nanometers", 1e-9),
        ("nanometre", 1e-9),
        ("micron", 1e-6),
        ("microns", 1e-6),
        ("μm", 1e-6),
        (" µm ", 1e-6),
        ("um", 1e-6),
        ("mm", 1e-3),
        ("meters", 1.0),
        ("m", 1.0),
        ("angstroms", 1e-10),
        ("Å", 1e-10),
    ],
)
def test_units_of_length_are_known_by_their_usual_names(unit, length):
    assert world.metres(unit) == length


@pytest.mark.parametrize("unit", ["", "s", "nms", "parsnips", "Mm", None])
def test_what_is_no_unit_of_length_is_refused(unit):
    with pytest.raises(BadArgument, match="unit: expected a unit of length"):
        world.metres(unit)
    assert not world.is_unit(unit)


@given(SIZES, st.lists(st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 3), min_size=1), st.sampled_from([None, *UNITS]))
def test_voxels_are_found_again_from_where_they_begin(sizes, positions, unit):
    steps = world.steps_in(sizes, ("nm", "um", "mm"), unit)
    positions = np.array(positions)
    np.testing.assert_array_equal(world.to_voxels(world.to_world(positions, steps), steps), positions)
    np.testing.assert_array_equal(world.to_voxels(world.to_world(positions + 0.5, steps), steps), positions)


@pytest.mark.parametrize("points", [[1, 2], [[1, 2, 3, 4]], 3, "abc", [1, 2, float("nan")], [1, 2, None]])
def test_what_are_no_points_is_refused(points):
    steps = world.steps_in((1, 1, 1), ("nm",) * 3, None)
    with pytest.raises(BadArgument, match=r"^world: expected"):
        world.to_voxels(points, steps)
    with pytest.raises(BadArgument, match=r"^positions: expected"):
        world.to_world(points, steps)

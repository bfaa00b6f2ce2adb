import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvidclient.arrays import array_module, fitting, native_axistags, resolutions_of, tagged

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]


@given(st.sampled_from(INTEGERS), st.integers(-(2**63), 2**64 - 1))
def test_a_number_fits_exactly_where_the_type_holds_it(dtype, number):
    limits = np.iinfo(dtype)
    if limits.min <= number <= limits.max:
        assert fitting(number, np.dtype(dtype)) == number
        assert fitting([number], np.dtype(dtype)).tolist() == [number]
    else:
        with pytest.raises(ValueError, match=f"expected values that fit {dtype}"):
            fitting(number, np.dtype(dtype))


@pytest.mark.parametrize(
    "values", [np.ones(3), np.ones(3, np.int64), np.float32(1), 1.5, [1, 2.0], "a", None, [[1], [2, 3]]]
)
def test_what_has_another_type_or_is_no_number_does_not_fit_integers(values):
    with pytest.raises(ValueError, match=r"expected values that fit uint8|inhomogeneous"):
        fitting(values, np.dtype("u1"))


def test_arrays_of_smaller_types_and_all_floats_fit_floats():
    single = np.dtype("f4")
    assert fitting(np.ones(2, np.uint16), single).tolist() == [1, 1]
    assert fitting([0.1, 3], single).dtype == single
    assert np.isnan(fitting(float("nan"), single))
    assert np.isinf(fitting(float("inf"), single))
    with pytest.raises(ValueError, match="expected values that fit float32"):
        fitting(1e300, single)
    with pytest.raises(ValueError, match="expected values that fit float32"):
        fitting(np.ones(2), single)


def test_tags_know_resolutions_and_arrays_have_tags_of_their_own():
    known = {"x": (4.0, "nm"), "z": (40.0, "nm")}
    tags = native_axistags("cxyz", known)
    assert resolutions_of(tags) == known
    assert resolutions_of("cxyz") == resolutions_of(native_axistags("cxyz")) == {}
    array = tagged(np.zeros((1, 2, 3, 4)), tags)
    assert isinstance(array, array_module().VigraArray)
    assert resolutions_of(array.axistags) == known
    assert array.axistags is not tags

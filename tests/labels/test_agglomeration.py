"""Tables of supervoxels and bodies, brought about by merges."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvid.errors import BadRequest, Conflict
from dvid.labels.agglomeration import apply, plan_here

LABELS = range(1, 10)


def u64(values):
    return np.array(list(values), np.uint64)


def todo(segmentation, table):
    return segmentation.see(lambda view: plan_here(view, u64(table), u64(table.values())))


def agglomerate(segmentation, table, most=2000):
    made = todo(segmentation, table)
    for part in made.batches(most):
        segmentation.edit(partial(apply, todo=made, part=part))
    return made


def groups(state):
    return {frozenset(members) for members in state.supervoxels.values()}


tables = st.dictionaries(
    st.sampled_from([*LABELS, 50]),  # 50 is no supervoxel of the segmentation
    st.sampled_from([1, 2, 5, 9, 100, 2**64 - 2]),
    max_size=10,
).filter(lambda table: all(table.get(body, body) == body for body in table.values()))


@settings(max_examples=40)
@given(tables, st.integers(1, 4))
def test_each_supervoxel_comes_to_the_body_beside_it(make_segmentation, table, most):
    segmentation = make_segmentation()
    segmentation.ingest({label: 10 * label for label in LABELS})
    agglomerate(segmentation, table, most)
    wanted: dict[int, set[int]] = {}
    for label in LABELS:
        wanted.setdefault(table.get(label, label), set()).add(label)
    state = segmentation.state()
    assert state.supervoxels == wanted
    assert state.sizes == {body: 10 * sum(members) for body, members in wanted.items()}
    assert segmentation.bodies_of(*LABELS) == [table.get(label, label) for label in LABELS]
    # Nothing is left to do.
    assert len(todo(segmentation, table)) == 0


@settings(max_examples=40)
@given(tables, tables, st.integers(0, 5))
def test_a_table_is_applied_to_what_others_have_left_or_refused(make_segmentation, before, table, done):
    """Only a part of another table was applied: what then is planned works, or is a refusal that changed nothing."""
    segmentation = make_segmentation()
    segmentation.ingest({label: 10 * label for label in LABELS})
    first = todo(segmentation, before)
    for part in list(first.batches(1))[:done]:
        segmentation.edit(partial(apply, todo=first, part=part))
    state = segmentation.state()
    try:
        agglomerate(segmentation, table)
    except Conflict:
        assert segmentation.state() == state
        return
    told = [label for label in LABELS if label in table]
    assert segmentation.bodies_of(*told) == [table[label] for label in told]
    # Supervoxels that the table leaves out went with those that they were together with.
    for group in groups(state):
        assert any(group <= other for other in groups(segmentation.state()))


def test_what_was_interrupted_goes_on(segmentation):
    table = {1: 100, 2: 100, 3: 4, 5: 4, 6: 6, 7: 6}
    made = todo(segmentation, table)
    first, *_ = made.batches(1)
    segmentation.edit(partial(apply, todo=made, part=first))
    rest = todo(segmentation, table)
    assert 0 < len(rest) < len(made)
    agglomerate(segmentation, table)
    assert segmentation.sizes() == {100: 30, 4: 120, 6: 130, 8: 80, 9: 90}


def test_absent_supervoxels_are_counted(segmentation):
    assert todo(segmentation, {1: 2, 500: 2, 501: 7}).absent == 2


def test_rows_of_supervoxel_0_and_rows_that_come_twice_are_nothing_new(segmentation):
    made = segmentation.see(lambda view: plan_here(view, u64([0, 1, 1, 0]), u64([0, 2, 2, 5])))
    assert (made.targets.tolist(), made.merged.tolist()) == ([2], [1])


@pytest.mark.parametrize(
    ("supervoxels", "bodies", "said"),
    [
        ([1, 1], [2, 3], "supervoxel 1 to two bodies, 2 and 3"),
        ([1], [0], "maps 1 to 0"),
        ([1], [2**64 - 1], "maps 1 to 18446744073709551615"),
        ([1, 2], [2, 3], "2 is a supervoxel of body 3"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(segmentation, supervoxels, bodies, said):
    with pytest.raises(BadRequest, match=said):
        segmentation.see(lambda view: plan_here(view, u64(supervoxels), u64(bodies)))


def test_bodies_that_were_merged_otherwise_are_not_torn_apart(segmentation):
    segmentation.merge(1, 2)
    with pytest.raises(Conflict, match="cleaved first"):
        todo(segmentation, {1: 3, 2: 4})
    with pytest.raises(Conflict, match="2"):
        todo(segmentation, {5: 2})


def test_batches_hold_whole_targets_and_all_of_them(segmentation):
    made = todo(segmentation, {1: 3, 2: 3, 4: 6, 5: 6, 7: 100, 8: 200})
    for most in range(1, 9):
        parts = list(made.batches(most))
        assert [at for part in parts for at in range(part.start, part.stop)] == list(range(len(made)))

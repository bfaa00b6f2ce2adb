"""Layouts of version graphs: what can be drawn without lines through versions that they do not belong to."""

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from dvidclient.gui.graph import lay_out


@dataclass(frozen=True)
class Version:
    uuid: str
    version: int
    branch: str
    parents: tuple


@st.composite
def histories(draw):
    """Versions of which each has parents among those before it."""
    versions = []
    for number in range(draw(st.integers(1, 25))):
        known = [version.uuid for version in versions]
        parents = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True)) if known else []
        branch = draw(st.sampled_from(["master", "a", "b"])) if known else "master"
        versions.append(Version(f"u{number}", number + 1, branch, tuple(parents)))
    return draw(st.permutations(versions))


def path_of(edge):
    """Row and lane of an edge in all rows that it passes, without those of its ends."""
    return {(row, edge.lane) for row in range(edge.child_row + 1, edge.parent_row)}


@given(histories())
def test_each_version_has_a_row_and_children_stand_above_their_parents(versions):
    layout = lay_out(versions)
    row_of = {uuid: row for row, uuid in enumerate(layout.uuids)}
    assert sorted(layout.uuids) == sorted(version.uuid for version in versions)
    for version in versions:
        assert all(row_of[version.uuid] < row_of[parent] for parent in version.parents)


@given(histories())
def test_each_parent_has_one_edge_from_version_to_version(versions):
    layout = lay_out(versions)
    place = {uuid: (row, layout.lanes[row]) for row, uuid in enumerate(layout.uuids)}
    wanted = sorted((*place[version.uuid], *place[parent]) for version in versions for parent in version.parents)
    drawn = sorted((edge.child_row, edge.child_lane, edge.parent_row, edge.parent_lane) for edge in layout.edges)
    assert drawn == wanted


@given(histories())
def test_no_edge_runs_through_a_version(versions):
    layout = lay_out(versions)
    places = set(enumerate(layout.lanes))
    for edge in layout.edges:
        assert not path_of(edge) & places


@given(histories())
def test_edges_share_a_lane_only_where_they_lead_to_the_same_parent(versions):
    layout = lay_out(versions)
    owners = {}
    for edge in layout.edges:
        for place in path_of(edge):
            assert owners.setdefault(place, edge.parent_row) == edge.parent_row


@given(histories())
def test_all_lanes_are_counted_and_the_edges_of_a_row_are_found(versions):
    layout = lay_out(versions)
    used = {*layout.lanes, *(edge.lane for edge in layout.edges)}
    assert layout.lane_count > max(used)
    for row in range(len(versions)):
        assert layout.edges_at(row) == [edge for edge in layout.edges if edge.child_row <= row <= edge.parent_row]
        assert layout.edges_at(row, layout.lane_count) == layout.edges_at(row)


@given(histories(), st.integers(0, 4))
def test_only_edges_that_lie_wholly_right_of_a_lane_are_left_out(versions, last_lane):
    layout = lay_out(versions)
    for row in range(len(versions)):
        left_out = set(layout.edges_at(row)) - set(layout.edges_at(row, last_lane))
        for edge in left_out:
            # From the centre of the row before to that of the row behind.
            lanes = {edge.lane} if edge.child_row < row < edge.parent_row else set()
            lanes |= {edge.child_lane} if row <= edge.child_row + 1 else set()
            lanes |= {edge.parent_lane} if row >= edge.parent_row - 1 else set()
            assert min(lanes) > last_lane


@given(histories())
def test_the_order_in_which_versions_come_does_not_matter(versions):
    assert lay_out(versions) == lay_out(sorted(versions, key=lambda version: version.version))


def chain(count):
    return [Version(f"u{n}", n, "master", (f"u{n - 1}",) if n else ()) for n in range(count)]


def test_a_line_of_versions_takes_one_lane_newest_on_top():
    layout = lay_out(chain(5))
    assert layout.uuids == ("u4", "u3", "u2", "u1", "u0")
    assert layout.lanes == (0,) * 5
    assert layout.lane_count == 1


def test_the_main_line_keeps_the_first_lane_where_a_branch_is_newer():
    versions = [*chain(3), Version("side", 9, "side", ("u1",))]
    layout = lay_out(versions)
    assert dict(zip(layout.uuids, layout.lanes, strict=True)) == {"side": 1, "u2": 0, "u1": 0, "u0": 0}


def test_a_merge_is_linked_to_all_its_parents():
    versions = [*chain(2), Version("side", 5, "side", ("u0",)), Version("merge", 6, "master", ("u1", "side"))]
    layout = lay_out(versions)
    assert len(layout.edges_at(0)) == 2
    assert layout.lanes == (0, 1, 0, 0)


def test_nothing_is_laid_out_as_nothing():
    layout = lay_out([])
    assert (layout.uuids, layout.lane_count, layout.edges_at(0)) == ((), 0, [])


def test_parents_that_nobody_knows_and_circles_do_no_harm():
    first, second = Version("a", 1, "master", ("b", "lost")), Version("b", 2, "master", ("a",))
    layout = lay_out([first, second])
    assert set(layout.uuids) == {"a", "b"}
    assert all(edge.child_row < edge.parent_row for edge in layout.edges)
    assert lay_out([replace(first, parents=("a",))]).edges == ()


def test_thousands_of_versions_and_branches_are_laid_out():
    versions = chain(3000) + [Version(f"b{n}", 3000 + n, f"b{n}", (f"u{n}",)) for n in range(2000)]
    layout = lay_out(versions)
    assert len(layout.uuids) == 5000
    assert len(layout.edges) == 4999

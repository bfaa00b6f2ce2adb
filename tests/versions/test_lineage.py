"""Who descends from whom: the answers of chains against sets of ancestors."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from dvid.database import Database
from dvid.errors import BadRequest
from dvid.storage.protocol import Transaction
from dvid.versions import nodes, repos
from dvid.versions.lineage import Lineages, read_node

STEP = st.tuples(st.sampled_from(["child", "branch", "tag", "merge"]), st.lists(st.integers(0, 10**6), min_size=3))


@dataclass
class Dag:
    """What was built: each version with its strict ancestors."""

    ancestors: dict[int, set[int]] = field(default_factory=dict)


def build(transaction: Transaction, steps: list[tuple[str, list[int]]]) -> Dag:
    """Build a DAG with the functions that the service builds DAGs with, remembering it as sets."""
    dag, lineages = Dag(), Lineages()
    root = repos.create_repo(transaction).root_version
    dag.ancestors[root] = set()

    def locked(version: int):
        node = read_node(transaction, version)
        if not node.locked:
            nodes.commit(transaction, node)
        return read_node(transaction, version)

    for kind, picks in steps:
        versions = list(dag.ancestors)
        parents = [versions[pick % len(versions)] for pick in picks]
        if kind == "merge":
            if len(set(parents)) < 2:
                continue
            made = nodes.merge(transaction, lineages, [locked(parent) for parent in parents])
        else:
            parents = parents[:1]
            parent = locked(parents[0])
            if kind == "child":
                siblings = nodes.children(transaction, parent.version)
                if any(read_node(transaction, child).branch == parent.branch for child in siblings):
                    continue
                made = nodes.new_version(transaction, parent)
            elif kind == "branch":
                made = nodes.branch(transaction, parent, name=f"b{len(versions)}")
            else:
                made = nodes.tag(transaction, parent, name=f"t{len(versions)}")
        dag.ancestors[made.version] = set(parents).union(*(dag.ancestors[parent] for parent in parents))
    return dag


@settings(max_examples=150)
@given(st.lists(STEP, max_size=25))
def test_lineages_know_exactly_the_ancestors(steps: list[tuple[str, list[int]]]) -> None:
    with tempfile.TemporaryDirectory() as folder, Database.open(folder, durability="relaxed") as database:
        dag = database.transact(lambda tx, _: build(tx, steps))
        lineages = Lineages()
        with database.read() as (snapshot, _):
            past = {version: lineages.of(snapshot, version) for version in dag.ancestors}
            for version, ancestors in dag.ancestors.items():
                seen = {other for other in dag.ancestors if lineages.sees(snapshot, past[version], other)}
                assert seen == ancestors | {version}
                for other in dag.ancestors:
                    below = [ancestor for ancestor in seen if ancestor < other]
                    assert past[version].next_below(other) >= max(below, default=0)
                    assert past[version].next_below(other) < other
                for ancestor in seen:
                    unseen = [v for v in seen if v < ancestor and v not in dag.ancestors[ancestor]]
                    span = past[version].unseen_by(past[ancestor])
                    assert span is None or (not unseen) or span[0] <= min(unseen) <= max(unseen) <= span[1]
                    assert not unseen or span is not None
                assert past[version].merged or all(v in dag.ancestors[w] for v in seen for w in seen if v < w), (
                    "two versions in a past that know nothing of each other came from a merge"
                )


def test_a_linear_history_is_one_chain_and_has_nothing_unseen(repo) -> None:
    leaf = repo.chain(repo.root, 20)
    with repo.database.read() as (snapshot, directory):
        lineage = directory.node(snapshot, leaf).lineage
        root = directory.node(snapshot, repo.root).lineage
        assert lineage.extent() == {root.chain: lineage.version}
        assert lineage.unseen_by(root) is None
        assert not lineage.merged


def test_a_tag_and_the_next_version_of_a_branch_named_like_it_do_not_see_each_other(repo) -> None:
    repo.commit(repo.root)
    first = repo.branch(repo.root, "tag-x")
    repo.commit(first)
    second = repo.child(first)
    tags = []
    for name in ("x", "y"):
        try:
            tags.append(
                repo.database.transact(
                    lambda tx, directory, name=name: nodes.tag(tx, directory.node(tx, first).record, name=name)
                ).uuid
            )
        except BadRequest:
            assert name == "x"
    assert tags == ["y"]
    with repo.database.read() as (snapshot, directory):
        tag, other = directory.node(snapshot, "y"), directory.node(snapshot, second)
        assert not directory.lineages.sees(snapshot, tag.lineage, other.record.version)
        assert not directory.lineages.sees(snapshot, other.lineage, tag.record.version)


def test_the_number_of_a_version_that_was_taken_back_is_not_remembered(repo) -> None:
    """A failed transaction gives its version numbers back: the next node with one of them has another past."""
    repo.commit(repo.root)
    one, other = repo.branch(repo.root, "one"), repo.branch(repo.root, "other")
    repo.commit(one), repo.commit(other)

    class Failed(Exception):
        pass

    def fail(transaction, directory):
        child = nodes.new_version(transaction, directory.node(transaction, one).record)
        assert directory.lineages.sees(transaction, directory.lineages.of(transaction, child.version), child.version)
        assert directory.version(transaction, child.version).record.parents == (
            directory.node(transaction, one).record.version,
        )
        assert directory.node(transaction, child.uuid).record == child
        raise Failed(child.version)

    taken_back = 0
    try:
        repo.database.transact(fail)
    except Failed as failed:
        taken_back = failed.args[0]
    child = repo.child(other)
    with repo.database.read() as (snapshot, directory):
        node = directory.node(snapshot, child)
        assert node.record.version == taken_back
        assert directory.lineages.sees(snapshot, node.lineage, repo.node(other).version)
        assert not directory.lineages.sees(snapshot, node.lineage, repo.node(one).version)

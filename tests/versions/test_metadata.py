"""The counters that number repos, versions and instances."""

from __future__ import annotations

import pytest

from dvid.errors import Conflict
from dvid.versions import instances, layout, nodes
from dvid.versions.catalogue import put_number


def test_the_number_of_a_deleted_instance_is_never_given_again(repo) -> None:
    first = repo.make("second").number
    repo.database.transact(
        lambda tx, directory: instances.delete_instance(tx, directory.instance(tx, repo.number, "second"))
    )
    assert repo.make("second").number == first + 1


def test_when_the_numbers_are_used_up_the_store_says_so(repo) -> None:
    """Version numbers are inverted at the end of keys, where the last one stands for something else."""
    repo.commit(repo.root)
    repo.database.transact(lambda tx, _: put_number(tx, layout.COUNTER + b"version", layout.NEWEST - 2))
    last = repo.child(repo.root)
    assert repo.node(last).version == layout.NEWEST - 1
    repo.commit(last)
    with pytest.raises(Conflict, match="version numbers"):
        repo.database.transact(lambda tx, directory: nodes.new_version(tx, directory.node(tx, last).record))

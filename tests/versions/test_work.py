"""The list of what waits to be done in the background."""

from __future__ import annotations

from typing import Any

import pytest
from tests.versions.conftest import Repo

from dvid.versions import work
from dvid.versions.work import Task


class Waiting:
    """The list of the instance "kv" of a repo."""

    def __init__(self, repo: Repo) -> None:
        self.repo, self.database = repo, repo.database
        with self.database.view(repo.root, "kv") as view:
            self.instance = view.instance

    def ask(self, *whats: bytes, stamp: int, node: str = "") -> None:
        self.repo.database.edit(node or self.repo.root, "kv", lambda edit: edit.ask(list(whats), stamp))

    def forget(self, what: bytes, node: str = "") -> None:
        self.repo.database.edit(node or self.repo.root, "kv", lambda edit: edit.forget(what))

    def tasks(self, most: int = 100) -> list[tuple[bytes, int]]:
        return [(task.what, task.stamp) for task in self.found(most)]

    def found(self, most: int = 100) -> list[Task]:
        with self.database.store.snapshot() as snapshot:
            return work.tasks(snapshot, self.instance, most)

    def finish(self, task: Task) -> bool:
        return bool(self.database.store.transact(lambda tx: work.finish(tx, self.instance, task)))

    def busy(self) -> list[int]:
        with self.database.store.snapshot() as snapshot:
            return work.busy_instances(snapshot)

    def see(self, question: Any, *arguments: Any) -> Any:
        with self.database.store.snapshot() as snapshot:
            found = question(snapshot, self.instance, *arguments)
            return found if isinstance(found, bool | int) else list(found)


@pytest.fixture
def waiting(repo: Repo) -> Waiting:
    return Waiting(repo)


def test_what_is_asked_for_waits_in_order(waiting: Waiting) -> None:
    waiting.ask(b"b", b"a", stamp=5)
    waiting.ask(b"", b"\xff\xff", stamp=6)
    assert waiting.tasks() == [(b"", 6), (b"a", 5), (b"b", 5), (b"\xff\xff", 6)]
    assert waiting.tasks(2) == [(b"", 6), (b"a", 5)]
    assert waiting.see(work.waiting, 100) == 4
    assert waiting.see(work.waiting, 3) == 3
    assert waiting.busy() == [waiting.instance.number]


def test_what_is_asked_for_again_is_not_finished_by_who_did_it_before(waiting: Waiting) -> None:
    waiting.ask(b"a", stamp=1)
    (task,) = waiting.found()
    waiting.ask(b"a", stamp=2)
    assert not waiting.finish(task)
    assert waiting.tasks() == [(b"a", 2)]
    (task,) = waiting.found()
    assert waiting.finish(task)
    assert not waiting.finish(task)
    assert waiting.tasks() == []


def test_what_is_forgotten_is_finished_by_nobody(waiting: Waiting) -> None:
    waiting.ask(b"a", b"b", stamp=1)
    task, _ = waiting.found()
    waiting.forget(b"a")
    assert not waiting.finish(task)
    assert waiting.tasks() == [(b"b", 1)]
    waiting.forget(b"nothing")


def test_each_version_has_its_own_list(waiting: Waiting) -> None:
    repo = waiting.repo
    waiting.ask(b"a", b"b", stamp=1)
    repo.commit(repo.root)
    child = repo.child(repo.root)
    waiting.ask(b"a", stamp=2, node=child)
    root, last = repo.node(repo.root).version, repo.node(child).version
    assert [(task.version, task.what) for task in waiting.found()] == [(root, b"a"), (root, b"b"), (last, b"a")]
    assert waiting.see(work.versions_at_work) == [root, last]
    assert waiting.see(work.is_asked, root, b"b")
    assert not waiting.see(work.is_asked, last, b"b")
    waiting.forget(b"a", child)
    assert waiting.see(work.versions_at_work) == [root]


def test_an_unversioned_instance_has_one_list(database: Any) -> None:
    repo = Repo(database, versioned=False)
    waiting = Waiting(repo)
    waiting.ask(b"a", stamp=1)
    repo.commit(repo.root)
    waiting.ask(b"a", stamp=2, node=repo.child(repo.root))
    assert waiting.tasks() == [(b"a", 2)]


def test_what_a_failed_edit_asked_for_does_not_wait(waiting: Waiting) -> None:
    def fail(edit: Any) -> None:
        edit.ask([b"a"], 1)
        raise ValueError

    with pytest.raises(ValueError):
        waiting.database.edit(waiting.repo.root, "kv", fail)
    assert (waiting.tasks(), waiting.busy()) == ([], [])


def test_an_instance_rests_only_when_nothing_waits(waiting: Waiting) -> None:
    waiting.ask(b"a", stamp=1)
    waiting.ask(stamp=2)
    waiting.database.store.transact(lambda tx: work.rest(tx, waiting.instance))
    assert waiting.busy() == [waiting.instance.number]
    waiting.forget(b"a")
    waiting.database.store.transact(lambda tx: work.rest(tx, waiting.instance))
    assert waiting.busy() == []
    waiting.ask(stamp=3)
    assert waiting.busy() == []


def test_instances_do_not_see_each_others_lists(waiting: Waiting) -> None:
    other = Waiting(Repo(waiting.database))
    waiting.ask(b"a", stamp=1)
    other.ask(b"b", stamp=2)
    assert (waiting.tasks(), other.tasks()) == ([(b"a", 1)], [(b"b", 2)])
    assert waiting.busy() == [waiting.instance.number, other.instance.number]

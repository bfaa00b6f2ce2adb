"""Views for as long as they are open."""

from __future__ import annotations

import pytest

from dvid.errors import UnknownInstance, UnknownNode
from dvid.storage.lmdb_environment import MAX_READERS


def test_an_open_view_shows_what_was_there_when_it_was_opened(repo) -> None:
    repo.put(repo.root, b"key", b"old")
    viewing = repo.database.view(repo.root, "kv")
    opened = viewing.open()
    repo.put(repo.root, b"key", b"new")
    with viewing as view:
        assert view is opened, "what was opened before it is entered is handed on"
        assert view.get(b"\x10", b"key").payload == b"old"
    with viewing as view:
        assert view.get(b"\x10", b"key").payload == b"new", "it can be opened again, and looks anew"


@pytest.mark.parametrize(
    ("selector", "name", "error"), [(":master", "nothing", UnknownInstance), ("zz", "kv", UnknownNode)]
)
def test_a_view_that_cannot_be_opened_holds_no_snapshot(repo, selector: str, name: str, error: type[Exception]) -> None:
    kept = []  # so that nothing lets go of a snapshot but the view itself
    for _ in range(MAX_READERS + 1):
        kept.append(repo.database.view(selector, name))
        with pytest.raises(error):
            kept[-1].open()
    assert repo.get(repo.root, b"key") is None
    kept[0].close()

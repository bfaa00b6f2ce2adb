"""Logs of nodes and repos."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dvid.database import Database
from dvid.versions import logs, repos

LINES = st.lists(st.text(max_size=20), max_size=4)


@given(appended=st.lists(st.tuples(st.booleans(), LINES), max_size=8))
def test_a_log_tells_all_lines_in_their_order_and_no_others(tmp_path_factory, appended) -> None:
    with Database.open(str(tmp_path_factory.mktemp("store")), durability="relaxed") as database:
        repo = database.transact(lambda tx, _: repos.create_repo(tx))
        with database.read() as (snapshot, directory):
            root = directory.version(snapshot, repo.root_version).record
        assert root.version == repo.number, "the numbers are the same, the logs must not be"
        expected = {True: [], False: []}
        for of_repo, lines in appended:
            owner = repo if of_repo else root
            database.transact(lambda tx, _, owner=owner, lines=lines: logs.append_log(tx, owner, lines))
            expected[of_repo] += lines

        def told(owner) -> list[str]:
            with database.read() as (snapshot, _):
                return [line.partition("  ")[2] for line in logs.read_log(snapshot, owner)]

        assert told(repo) == expected[True]
        assert told(root) == expected[False]
        database.transact(lambda tx, _: logs.delete_log(tx, root))
        assert told(root) == []
        assert told(repo) == expected[True]

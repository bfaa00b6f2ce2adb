from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvid.errors import BadRequest, Conflict
from dvid.interop import ProgressJournal

WORK = {"source": "em.h5:/raw", "target": "3f8c/gray", "planes": 20}
BOXES = [((0, 0, 0), (64, 64, 64)), ((64, 0, 0), (20, 64, 64)), ((-64, 0, 0), (1, 2, 3))]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "import.progress"


def test_what_was_recorded_is_known_to_a_later_run(path):
    with ProgressJournal(path, WORK) as journal:
        assert journal.finished == set()
        for box in BOXES[:2]:
            journal.record(*box)
    with ProgressJournal(path, WORK) as journal:
        assert journal.finished == set(BOXES[:2])
        assert BOXES[0] in journal
        assert BOXES[2] not in journal
        journal.record(*BOXES[2])
    with ProgressJournal(path, dict(reversed(WORK.items()))) as journal:
        assert journal.finished == set(BOXES)


@pytest.mark.parametrize("other", [{**WORK, "source": "b.h5"}, {**WORK, "more": 1}, {"source": "em.h5:/raw"}])
def test_other_work_is_refused_and_the_journal_kept(path, other):
    with ProgressJournal(path, WORK) as journal:
        journal.record(*BOXES[0])
    with pytest.raises(Conflict, match="belongs to other work"):
        ProgressJournal(path, other)
    with ProgressJournal(path, WORK) as journal:
        assert journal.finished == {BOXES[0]}


def test_two_runs_at_once_are_refused(path):
    with ProgressJournal(path, WORK), pytest.raises(Conflict, match="in use"):
        ProgressJournal(path, WORK)
    ProgressJournal(path, WORK).close()


def test_a_journal_that_is_removed_is_gone(path):
    journal = ProgressJournal(path, WORK)
    journal.record(*BOXES[0])
    journal.remove()
    assert not path.exists()
    journal.remove()
    journal.close()


@settings(max_examples=100)
@given(keep=st.integers(0, 10**6))
def test_a_journal_torn_at_any_byte_keeps_its_whole_lines(tmp_path_factory, keep):
    path = tmp_path_factory.mktemp("journal") / "p"
    with ProgressJournal(path, WORK) as journal:
        journal.record_many(BOXES)
    whole = path.read_bytes()
    torn = whole[: keep % (len(whole) + 1)]
    path.write_bytes(torn)
    lines = max(torn.count(b"\n") - 1, 0)
    with ProgressJournal(path, WORK) as journal:
        assert journal.finished == set(BOXES[:lines])
        journal.record(*BOXES[2])
    with ProgressJournal(path, WORK) as journal:
        assert journal.finished == {*BOXES[:lines], BOXES[2]}


@pytest.mark.parametrize(
    "content", [b"hello", b"hello\n", b"{}\n", b"[1]\n", b'{"format": "dvid progress 1"}\n', b"\xff\xfe\n"]
)
def test_another_file_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(BadRequest, match="not a progress file"):
        ProgressJournal(path, WORK)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "line", ["hello", "{}", "[]", '{"start_zyx": [1, 2], "shape_zyx": [1, 2, 3]}', '{"start_zyx": 1}']
)
def test_a_damaged_line_is_named(path, line):
    ProgressJournal(path, WORK).close()
    with open(path, "a") as file:
        file.write(line + "\n" + json.dumps({"start_zyx": [0, 0, 0], "shape_zyx": [1, 1, 1]}) + "\n")
    with pytest.raises(BadRequest, match="line 2"):
        ProgressJournal(path, WORK)

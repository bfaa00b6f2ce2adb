"""The access log and the counters."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.waiting import eventually

from dvid.config import load_config
from dvid.http.board import Board
from dvid.http.gate import Gate
from dvid.http.journal import Journal
from dvid.http.tally import Kind, Record, joined_kinds, joined_pings, last_second


def record(path: str = "/api/heartbeat", **changes: object) -> Record:
    plain = Record(time.time(), 0.004, "GET", path, "server", 200, 3, 20, "", "", "127.0.0.1", False)
    return plain._replace(**changes)  # type: ignore[arg-type]


class Opened:
    """Journals of several workers that share a board, and the file they write."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "access.log"
        self.board = Board(2, 1)
        self._journals: list[Journal] = []

    def journal(self, worker: int = 0, form: str = "json") -> Journal:
        given = {"server.accessLog": form, "server.accessLogFile": str(self.file), "data": "/nowhere"}
        config = load_config(None, given, environ={})
        self._journals.append(Journal(config, self.board, worker, Gate(4)))
        self._journals[-1].start()
        return self._journals[-1]

    def close(self) -> None:
        for journal in self._journals:
            journal.stop()
            journal._thread.join(60)  # a server that ends does not wait for so long
            assert not journal._thread.is_alive()

    def lines(self) -> list[str]:
        self.close()
        return self.file.read_text().removesuffix("\n").split("\n")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    made = Opened(tmp_path)
    yield made
    made.close()


def test_each_request_has_its_line(opened: Opened) -> None:
    journal = opened.journal()
    journal.add(record("/api/repos/info", user="me", app="test", received=7, sent=5000, status=200))
    [line] = opened.lines()
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found == {
        "method": "GET",
        "path": "/api/repos/info",
        "status": 200,
        "ms": 4.0,
        "in": 7,
        "out": 5000,
        "user": "me",
        "app": "test",
        "remote": "127.0.0.1",
    }


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_request_can_forge_a_line(opened: Opened, form: str) -> None:
    opened.journal(form=form).add(record("/a\r\nb\x1b[2J\u2028", user="x\ny z"))
    [line] = opened.lines()
    assert "\x1b" not in line
    assert form == "json" or line.split()[1:4] == ["127.0.0.1", "x\\ny%20z", "-"]


def test_nothing_is_written_where_no_log_is_wanted(opened: Opened) -> None:
    opened.journal(form="off").add(record())
    opened.close()
    assert not opened.file.exists()


def test_lines_of_several_workers_are_whole(opened: Opened) -> None:
    journals = [opened.journal(0), opened.journal(1)]

    def write(journal: Journal) -> None:
        for number in range(2000):
            journal.add(record(f"/{number}" + "x" * (number % 200)))

    threads = [threading.Thread(target=write, args=(journal,)) for journal in journals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([json.loads(line) for line in opened.lines()]) == 4000


def test_counters_cover_all_workers(opened: Opened) -> None:
    one, two = opened.journal(0), opened.journal(1)
    one.add(record(seconds=0.003))
    two.add(record(seconds=0.5))
    two.add(record(status=404))

    def told() -> dict[int, Kind]:
        return {kind.status: kind for kind in joined_kinds(one.tallies())}

    eventually(lambda: {status: kind.count for status, kind in told().items()} == {200: 2, 404: 1})
    kinds = told()
    assert kinds[200].seconds == pytest.approx(0.503)
    assert (kinds[200].received, kinds[200].sent) == (6, 40)
    assert sum(kinds[200].classes) == 2
    assert joined_kinds(two.tallies()) == list(kinds.values())


def test_counters_go_on_where_a_dead_worker_left_them(opened: Opened) -> None:
    opened.journal(1).add(record())
    opened.close()
    again = opened.journal(1)
    again.add(record())
    assert joined_kinds(again.tallies())[0].count == 2


def test_latencies_are_those_of_all_workers(opened: Opened) -> None:
    now = int(time.time())
    for worker, seconds in ((0, 0.002), (1, 0.030), (0, 0.010)):
        opened.journal(worker).add(record(user="me", seconds=seconds, time=now + seconds * 100))
        opened.close()
    ping = joined_pings(opened.journal(0).tallies())["me"]
    assert (ping.User, ping.MinLatency, ping.MaxLatency, ping.LastLatency) == ("me", 2, 30, 30)


def test_the_sums_have_all_that_was_answered_before_they_were_asked_for(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dvid.http.journal.INTERVAL", 0.5)
    opened.board = Board(1, 1)  # whose worker does not wait for others
    journal = opened.journal()
    journal.add(record())
    eventually(journal._bell.empty)  # the journal's thread has heard of it, and waits for more
    assert [kind.count for kind in joined_kinds(journal.tallies())] == [1]


def test_only_pings_count_as_latencies(opened: Opened) -> None:
    journal = opened.journal()
    journal.add(record("/api/repos/info", user="me"))
    tallies = journal.tallies()
    assert [kind.count for kind in joined_kinds(tallies)] == [1]
    assert joined_pings(tallies) == {}


def test_users_are_forgotten_before_they_fill_the_memory(opened: Opened) -> None:
    journal = opened.journal()
    for number in range(1000):
        journal.add(record(user=f"user{number}"))
        journal.add(record(method=f"M{number}", path="/x"))
    tallies = journal.tallies()
    assert len(joined_pings(tallies)) <= 200
    assert len(joined_kinds(tallies)) <= 500
    assert "user999" in joined_pings(tallies)


def test_the_load_is_that_of_the_second_that_is_over(opened: Opened) -> None:
    journal = opened.journal()
    for _ in range(3):
        journal.add(record(time=time.time() - 1, seconds=0.0))
        journal.add(record(time=time.time() - 1, seconds=0.0, method="POST"))
        journal.add(record(time=time.time() - 100, seconds=0.0))
    tallies, seconds = journal.tallies(), set()
    for tally in tallies:
        seconds |= set(tally.seconds)
    total = sum(one.gets for tally in tallies for at, one in tally.seconds.items() if at > time.time() - 50)
    assert total == 3
    assert last_second(tallies).gets <= 3
    assert len(seconds) <= 8


def test_lines_are_whole_in_a_pipe_too(opened: Opened) -> None:
    os.mkfifo(opened.file)
    read: list[bytes] = []

    def take() -> None:
        with opened.file.open("rb") as pipe:
            read.append(pipe.read())

    taker = threading.Thread(target=take)
    taker.start()
    journals = [opened.journal(0), opened.journal(1)]
    writers = [
        threading.Thread(target=lambda journal=journal: [journal.add(record("/" + "x" * 400)) for _ in range(1000)])
        for journal in journals
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    opened.close()
    for journal in journals:
        os.close(journal._output or 0)
    taker.join()
    assert len([json.loads(line) for line in read[0].splitlines()]) == 2000


def test_a_log_that_cannot_be_written_loses_lines_and_not_memory(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dvid.http.journal._MOST_PENDING", 10)
    os.mkfifo(opened.file)
    reader = os.open(opened.file, os.O_RDONLY | os.O_NONBLOCK)  # and nobody reads
    journal = opened.journal()
    for _ in range(3):
        for _ in range(1000):
            journal.add(record("/" + "x" * 400))
        time.sleep(0.1)
    assert journal.pending <= 10
    os.close(reader)
    opened.close()

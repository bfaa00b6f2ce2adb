"""What the workers of a server share."""

from __future__ import annotations

import multiprocessing
import os
import signal

from dvid.http.board import Board

FORK = multiprocessing.get_context("fork")


def test_a_document_is_read_in_another_process() -> None:
    board = Board(2, 1)
    child = FORK.Process(target=board.publish, args=(1, b"document"))
    child.start()
    child.join()
    assert board.read(1) == b"document"
    assert board.read(0) == b""


def test_the_newest_document_counts() -> None:
    board = Board(1, 1)
    for text in (b"a longer one", b"short", b""):
        board.publish(0, text)
        assert board.read(0) == text


def test_a_document_that_does_not_fit_is_left_out() -> None:
    board = Board(1, 1)
    board.publish(0, b"fits")
    board.publish(0, bytes(1 << 20))
    assert board.read(0) == b"fits"


def test_a_reader_never_sees_half_a_document() -> None:
    board = Board(1, 1)

    def write() -> None:
        while True:
            for letter in b"abc":
                board.publish(0, bytes([letter]) * 50_000)

    child = FORK.Process(target=write)
    child.start()
    try:
        while not board.read(0):
            pass
        for _ in range(500):
            assert len(set(board.read(0))) == 1
    finally:
        child.kill()
        child.join()


def test_a_document_outlives_its_writer() -> None:
    board = Board(1, 1)
    board.publish(0, b"first")

    def write() -> None:
        board.publish(0, b"second")
        os.kill(os.getpid(), signal.SIGKILL)

    child = FORK.Process(target=write)
    child.start()
    child.join()
    assert board.read(0) == b"second"
    board.publish(0, b"third")
    assert board.read(0) == b"third"


def test_places_are_for_all_processes_together() -> None:
    board = Board(2, 2)
    here = board.take_place()
    assert here is not None
    ready, hold = FORK.Event(), FORK.Event()

    def take() -> None:
        assert board.take_place() is not None
        assert board.take_place() is None
        ready.set()
        hold.wait(600)

    child = FORK.Process(target=take)
    child.start()
    assert ready.wait(60)
    assert board.take_place() is None
    board.places = 3
    third = board.take_place()
    assert third is not None
    board.leave_place(third)
    board.places = 2
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert board.take_place() is not None, "the place of a process that died is free again"


def test_a_place_comes_back() -> None:
    board = Board(1, 1)
    for _ in range(3):
        place = board.take_place()
        assert place is not None
        assert board.take_place() is None
        board.leave_place(place)

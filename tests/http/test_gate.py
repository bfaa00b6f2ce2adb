"""How many requests are worked on at the same time."""

from __future__ import annotations

import threading

import pytest

from dvid.http.gate import Gate


def test_no_more_than_the_places_are_inside() -> None:
    gate, inside, most = Gate(3), [0], [0]
    lock = threading.Lock()

    def work() -> None:
        for _ in range(50):
            gate.enter()
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            with gate.reading(gate.arrive("")):
                pass
            with lock:
                inside[0] -= 1
            gate.leave()

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 3
    assert gate.running == 0


def test_a_short_wait_keeps_its_place() -> None:
    gate = Gate(1)
    gate.enter()
    with gate.reading(gate.arrive("")):
        gate.take_from_waiting()
        assert gate.running == 1
        assert gate.longest_read() >= 0
    assert gate.running == 1


def test_a_long_wait_loses_its_place_and_gets_one_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvid.http.gate.SHORT", -1.0)
    gate = Gate(1)
    gate.enter()
    with gate.reading(gate.arrive("")):
        gate.take_from_waiting()
        gate.take_from_waiting()
        assert gate.running == 0
        gate.enter()  # somebody else
        gate.leave()
    assert gate.running == 1
    assert gate.longest_read() == 0.0


def test_a_request_is_known_until_its_answer_leaves() -> None:
    gate = Gate(1)
    one, other = gate.arrive("10.0.0.1"), gate.arrive("10.0.0.1")
    assert set(gate.exchanges()) == {one, other}
    before = one.heard
    with gate.reading(one):
        assert one.reading is not None
        assert other.reading is None
        one.cut = True
    assert one.reading is None
    assert one.heard >= before
    assert one.cut
    with gate.reading(one):
        assert not one.cut
    gate.depart(one)
    gate.depart(one)
    assert gate.exchanges() == [other]


def test_places_are_neither_lost_nor_made_when_both_act_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvid.http.gate.SHORT", -1.0)
    gate, over = Gate(2), threading.Event()

    def take() -> None:
        while not over.is_set():
            gate.take_from_waiting()

    def work() -> None:
        for _ in range(2000):
            gate.enter()
            with gate.reading(gate.arrive("")):
                pass
            gate.leave()

    taker = threading.Thread(target=take)
    taker.start()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    taker.join()
    assert gate.running == 0

import os
import signal
import threading

import pytest
from tests.waiting import eventually

from mockserver.h5turns import Turns


def queued(turns, order, much, count=1):
    """Threads that wait for a turn, one after the other, and note theirs."""

    def take():
        with turns.turn(much=much):
            order.append("much" if much else "little")

    threads = [threading.Thread(target=take) for _ in range(count)]
    for thread in threads:
        before = turns.waiting
        thread.start()
        eventually(lambda before=before: turns.waiting == before + 1)
    return threads


@pytest.mark.parametrize("held_much", [False, True])
def test_those_who_want_little_and_those_who_want_much_take_turns_in_turn(held_much):
    turns, order = Turns(), []
    with turns.turn(much=held_much):
        threads = queued(turns, order, True, 4) + queued(turns, order, False, 2)
        assert order == []
    for thread in threads:
        thread.join()
    first = ["little", "much"] if held_much else ["much", "little"]
    assert order == [*first, *first, "much", "much"]
    assert turns.waiting == 0


def test_only_one_thread_has_a_turn():
    turns, inside, most = Turns(), [], []

    def take_many(number):
        for at in range(200):
            with turns.turn(much=(at + number) % 2 == 0):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=take_many, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(most), set(most)) == (800, {1})


def test_a_turn_ends_with_an_exception():
    turns = Turns()
    with pytest.raises(ValueError, match="in it"), turns.turn():
        raise ValueError("in it")
    with turns.turn():
        pass


def test_a_thread_that_is_interrupted_while_it_waits_gets_no_turn_that_others_wait_for():
    turns, order, held_by_it = Turns(), [], threading.Event()

    def hold():
        with turns.turn():
            held_by_it.set()
            eventually(lambda: turns.waiting == 1)
            os.kill(os.getpid(), signal.SIGUSR1)
            eventually(lambda: turns.waiting == 0)

    def interrupt(number, frame):
        raise InterruptedError

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        held = threading.Thread(target=hold)
        held.start()
        held_by_it.wait()
        with pytest.raises(InterruptedError), turns.turn(much=True):
            pass
    finally:
        signal.signal(signal.SIGUSR1, before)
        held.join()
    with turns.turn():
        [waiting] = queued(turns, order, False)
    waiting.join()
    assert order == ["little"]

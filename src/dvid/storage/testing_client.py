"""What the conformance suite runs in other processes: `python -m dvid.storage.testing_client OPENER PATH PROGRAM ...`.

A program prints `ready` when the store is open and begins when it is sent a line; what it answers goes to its output.
"""

from __future__ import annotations

import importlib
import itertools
import sys
import threading
from collections.abc import Callable
from functools import partial

from dvid.storage.protocol import Store, Transaction

COUNTER = b"counter"


def opened(opener: str, path: str) -> Store:
    """Open a store with a function that is named so: `module:function`, or `module:function option=text ...`."""
    name, *options = opener.split()
    module, _, function = name.partition(":")
    arguments = dict(option.split("=", 1) for option in options)
    store: Store = getattr(importlib.import_module(module), function)(path, **arguments)
    return store


def increment(transaction: Transaction) -> int:
    """Add one to the counter; its new value."""
    value = transaction.get(COUNTER)
    count = (0 if value is None else int(bytes(value))) + 1
    transaction.put(COUNTER, b"%d" % count)
    return count


def put_pair(transaction: Transaction, name: bytes, value: bytes) -> None:
    """Write two keys that belong together."""
    transaction.put(b"left/" + name, value)
    transaction.put(b"right/" + name, value)


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run `work(0)` to `work(count - 1)` at the same time; raises the first error of any."""
    errors: list[BaseException] = []

    def run(index: int) -> None:
        try:
            work(index)
        except BaseException as error:  # noqa: BLE001 - raised again below, in the thread of the test
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _count(store: Store, threads: str, times: str) -> None:
    """Increment the counter `times` times in each of `threads` threads."""

    def work(_: int) -> None:
        for _ in range(int(times)):
            store.transact(increment)

    in_threads(int(threads), work)


def _write(store: Store, threads: str, tag: str) -> None:
    """Write pairs for ever, and print the name of each when its transaction has returned."""

    def work(thread: int) -> None:
        for number in itertools.count():
            name = f"{tag}.{thread}.{number}"
            store.transact(partial(put_pair, name=name.encode(), value=name.encode() * 10))
            sys.stdout.write(name + "\n")
            sys.stdout.flush()

    in_threads(int(threads), work)


def _get(store: Store, key: str) -> None:
    """Print the value of a key."""
    with store.snapshot() as snapshot:
        value = snapshot.get(key.encode())
        print("-" if value is None else bytes(value).decode(), flush=True)


def _put(store: Store, key: str, value: str) -> None:
    """Write one key."""
    store.transact(lambda transaction: transaction.put(key.encode(), value.encode()))


def _hold(store: Store) -> None:
    """Hold a snapshot until the next line comes."""
    with store.snapshot():
        print("holding", flush=True)
        sys.stdin.readline()


def nest(outer: Store, inner: Store, threads: int, times: int) -> None:
    """Count in two stores at once: in each of `threads` threads of three kinds, `times` times.

    One kind writes to the outer store while it reads the inner one, one to the inner store, and one excludes the
    writers of the outer store while it writes to the inner one; it checks that the outer store stays as it is.
    """

    def reading(transaction: Transaction) -> None:
        with inner.snapshot() as snapshot:
            snapshot.get(COUNTER)
        increment(transaction)

    def count(store: Store) -> bytes:
        with store.snapshot() as snapshot:
            return bytes(snapshot.get(COUNTER) or b"0")

    def alone() -> None:
        before = count(outer)
        inner.transact(increment)
        if count(outer) != before:
            raise AssertionError("the outer store was written to while writers were excluded")

    def work(thread: int) -> None:
        for _ in range(times):
            if thread % 3 == 0:
                outer.exclude(alone)
            elif thread % 3 == 1:
                outer.transact(reading)
                outer.transact(reading)
            else:
                inner.transact(increment)

    in_threads(3 * threads, work)


def _nest(store: Store, inner: str, threads: str, times: str) -> None:
    """`nest` with the store at another location."""
    second = opened(sys.argv[1], inner)
    nest(store, second, int(threads), int(times))
    second.close()


def _hang(store: Store) -> None:
    """Stay inside a transaction until the next line comes."""

    def operation(transaction: Transaction) -> None:
        transaction.put(b"unfinished", b"")
        print("inside", flush=True)
        sys.stdin.readline()

    store.transact(operation)


PROGRAMS: dict[str, Callable[..., None]] = {
    "count": _count,
    "write": _write,
    "get": _get,
    "put": _put,
    "hold": _hold,
    "hang": _hang,
    "nest": _nest,
}


def main() -> None:
    """Run the program that the command line names."""
    opener, path, program, *arguments = sys.argv[1:]
    store = opened(opener, path)
    print("ready", flush=True)
    sys.stdin.readline()
    PROGRAMS[program](store, *arguments)
    store.close()


if __name__ == "__main__":
    main()

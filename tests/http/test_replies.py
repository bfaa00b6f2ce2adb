"""From a reply to an answer."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dvid.config.settings import Limits
from dvid.errors import Busy, TooLarge
from dvid.http.gate import Gate
from dvid.http.replies import Answer, Body, answer_of
from dvid.routes import JSON, OCTETS, Reply

ALWAYS = float("inf")


def answer(reply: Reply, *, method: str = "GET", accept: str = "", deadline: float = ALWAYS, **limits: Any) -> Answer:
    environ = {"REQUEST_METHOD": method, "HTTP_ACCEPT_ENCODING": accept}
    return answer_of(reply, environ, Limits(**limits), deadline)


class Stream:
    """Pieces that know whether they were closed."""

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self.closed = 0
        self._pieces, self._error = iter(pieces), error

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        for piece in self._pieces:
            return piece
        if self._error is not None:
            raise self._error
        raise StopIteration

    def close(self) -> None:
        self.closed += 1


def test_a_body_in_pieces_of_unknown_length_is_sent_with_its_length() -> None:
    stream = Stream(b"ab", b"", b"cde")
    made = answer(Reply(stream))
    assert b"".join(made.body) == b"abcde"  # type: ignore[arg-type]
    assert dict(made.headers)["content-length"] == "5"
    assert stream.closed


def test_an_error_on_the_way_is_an_error_before_anything_is_sent() -> None:
    stream = Stream(b"ab", error=RuntimeError("disk"))
    with pytest.raises(RuntimeError, match="disk"):
        answer(Reply(stream))
    assert stream.closed


def test_a_large_body_of_unknown_length_does_not_stay_in_memory() -> None:
    piece = bytes(1 << 20)
    made = answer(Reply(iter([piece] * 20 + [b"end"])))
    assert made.length == 20 * len(piece) + 3
    assert not isinstance(made.body, bytes | list)
    assert b"".join(made.body)[-5:] == b"\0\0end"


@pytest.mark.parametrize("length", [None, 30])
def test_an_answer_over_the_limit_is_refused(length: int | None) -> None:
    stream = Stream(*[b"0123456789"] * 3)
    with pytest.raises(TooLarge, match=r"limits\.answerBytes"):
        answer(Reply(stream, length=length), answer_bytes=25)


def test_a_whole_answer_over_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge, match=r"limits\.answerBytes"):
        answer(Reply(bytes(26)), answer_bytes=25)


def test_an_answer_that_takes_too_long_is_refused() -> None:
    with pytest.raises(Busy, match=r"limits\.requestSeconds"):
        answer(Reply(Stream(b"a", b"b")), deadline=time.monotonic() - 1)


@pytest.mark.parametrize("piece", [b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_pieces_of_any_kind_become_bytes(piece: Any) -> None:
    """The HTTP server ends an answer at a piece that is something else, without an error."""
    made = answer(Reply(iter([piece]), length=3))
    assert [type(one) for one in made.body] == [bytes]
    assert answer(Reply(piece)).body == b"abc"


@pytest.mark.parametrize("accept", ["gzip", "br, gzip", "GZIP;q=0.5, gzip;q=1.0", "gzip;q=0.001"])
def test_text_is_compressed_where_it_is_taken(accept: str) -> None:
    text = b'{"a": 1}' * 1000
    made = answer(Reply(text, JSON), accept=accept)
    headers = dict(made.headers)
    assert isinstance(made.body, bytes)
    assert gzip.decompress(made.body) == text
    assert headers["content-encoding"] == "gzip"
    assert headers["vary"] == "Accept-Encoding"
    assert int(headers["content-length"]) == len(made.body) < len(text)


@pytest.mark.parametrize("accept", ["", "br", "gzip;q=0", "gzip;q=0.000", "identity"])
def test_text_is_not_compressed_where_it_is_not_taken(accept: str) -> None:
    made = answer(Reply(b" " * 5000, JSON), accept=accept)
    assert made.body == b" " * 5000
    assert dict(made.headers)["vary"] == "Accept-Encoding"


def test_voxels_and_short_texts_are_never_compressed() -> None:
    assert answer(Reply(bytes(5000), OCTETS), accept="gzip").body == bytes(5000)
    assert answer(Reply(b" " * 1000, JSON), accept="gzip").body == b" " * 1000


def test_what_is_compressed_already_is_left_alone() -> None:
    made = answer(Reply(bytes(5000), JSON, headers={"Content-Encoding": "zstd"}), accept="gzip")
    assert made.body == bytes(5000)


def test_head_reads_nothing_where_the_length_is_known() -> None:
    stream = Stream(error=AssertionError("was read"))
    made = answer(Reply(stream, length=7), method="HEAD")
    assert dict(made.headers)["content-length"] == "7"
    assert stream.closed


def body_of(stream: Stream, length: int, done: list[tuple[int, bool]], gate: Gate) -> Body:
    made = answer(Reply(stream, length=length))
    gate.enter()
    return Body(made, gate, lambda sent, cut: done.append((sent, cut)), lambda: None)


def test_a_body_lets_go_when_the_client_leaves() -> None:
    stream, gate = Stream(b"ab", b"cd"), Gate(1)
    done: list[tuple[int, bool]] = []
    body = body_of(stream, 4, done, gate)
    assert next(body) == b"ab"
    assert gate.running == 1
    body.close()
    body.close()
    assert stream.closed
    assert done == [(2, True)]
    assert gate.running == 0


def test_a_body_that_is_taken_slowly_holds_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvid.http.gate.SHORT", -1.0)
    gate = Gate(1)
    body = body_of(Stream(b"ab", b"cd"), 4, [], gate)
    for _ in range(2):
        gate.take_from_waiting()
        assert gate.running == 0
        assert len(next(body)) == 2
        assert gate.running == 1
    gate.take_from_waiting()
    body.close()
    assert gate.running == 0


def test_a_body_that_fails_ends_short_of_its_length() -> None:
    gate = Gate(1)
    done: list[tuple[int, bool]] = []
    with body_of(Stream(b"ab", error=RuntimeError("disk")), 4, done, gate) as body:
        assert list(body) == [b"ab"]
    assert done == [(2, True)]
    assert gate.running == 0


def test_a_whole_body_is_not_cut() -> None:
    done: list[tuple[int, bool]] = []
    with body_of(Stream(b"ab", b"cd"), 4, done, Gate(1)) as body:
        assert b"".join(body) == b"abcd"
    assert done == [(4, False)]

import io
import json

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from dvidclient import answers


def answer(data, declared=None):
    """An answer with this body, as the connection gives it out."""
    headers = {"Content-Length": str(len(data) if declared is None else declared)}
    return urllib3.HTTPResponse(io.BytesIO(data), headers, 200, preload_content=False, decode_content=False)


@given(st.binary(max_size=1000), st.integers(1, 300))
def test_all_bytes_are_read_in_whatever_pieces(data, piece):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "PIECE_BYTES", piece)
        assert answers.whole(answer(data)) == data


@pytest.mark.parametrize(
    "read", [answers.whole, answers.text, answers.said, answers.document, answers.documents, answers.labels]
)
def test_what_breaks_off_is_no_answer_though_it_can_be_read(read):
    data = b"[1, 2, 3] [4, 5]"
    read(answer(data[:8] if read is answers.labels else data[:9]))
    with pytest.raises(urllib3.exceptions.ProtocolError, match="IncompleteRead"):
        read(answer(data[:8] if read is answers.labels else data[:9], declared=16))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", None),
        (b" \n", None),
        (b'{"child": "abc"}', {"child": "abc"}),
        (b"done", "done"),
        (b"\xff", "\ufffd"),
        (b"[" * 100_000, "[" * 100_000),
    ],
)
def test_what_is_said_to_a_change_is_json_text_or_nothing(data, found):
    assert answers.said(answer(data)) == found


@pytest.mark.parametrize("data", [b"", b"done", b"\xff", b"[" * 100_000, b"{", b"1" * 10_000])
def test_a_document_is_json_and_nothing_else(data):
    with pytest.raises(answers.Broken, match="expected JSON, got b"):
        answers.document(answer(data))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_documents_come_as_they_were_sent(value):
    assert answers.document(answer(json.dumps(value).encode())) == value


class Endless(io.RawIOBase):
    """A body that goes on, in pieces of 1000 bytes or less, and counts what was read of it."""

    def __init__(self):
        self.sent = 0

    def read(self, size=-1):
        piece = b"1" * min(1000, size)
        self.sent += len(piece)
        return piece


@pytest.mark.parametrize(
    "read", [answers.whole, answers.text, answers.document, answers.documents, answers.description]
)
def test_a_body_without_end_is_read_as_far_as_it_may_go(read, monkeypatch):
    for limit in ("LARGEST_BODY", "LARGEST_TEXT", "LARGEST_DOCUMENT"):
        monkeypatch.setattr(answers, limit, 50_000)
    body = Endless()
    with pytest.raises(answers.TooLong, match="expected at most 50000 bytes, the server sends more"):
        read(urllib3.HTTPResponse(body, {}, 200, preload_content=False, decode_content=False))
    assert 50_000 < body.sent <= 51_000


@pytest.mark.parametrize(
    ("read", "most"),
    [
        (answers.whole, answers.LARGEST_BODY),
        (answers.sparse_volume, answers.LARGEST_BODY),
        (answers.entries, answers.LARGEST_DOCUMENT),
        (answers.fields, answers.LARGEST_DOCUMENT),
        (answers.description, answers.LARGEST_TEXT),
        (answers.said, answers.LARGEST_TEXT),
    ],
)
def test_nothing_is_read_of_what_is_declared_too_long(read, most):
    body = Endless()
    headers = {"Content-Length": str(most + 1)}
    with pytest.raises(answers.TooLong, match=f"expected at most {most} bytes, the server sends {most + 1}"):
        read(urllib3.HTTPResponse(body, headers, 200, preload_content=False, decode_content=False))
    assert body.sent == 0


@pytest.mark.parametrize("read", [answers.listed_labels(3), answers.truths(3)])
def test_a_list_of_so_many_is_not_read_beyond_them(read):
    body = Endless()
    with pytest.raises(answers.TooLong):
        read(urllib3.HTTPResponse(body, {}, 200, preload_content=False, decode_content=False))
    assert body.sent < 2 * answers.LARGEST_REST


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.sampled_from([None, 1, 8]))
def test_a_list_of_the_largest_numbers_is_read_however_it_is_written(values, indent):
    data = json.dumps(values, indent=indent).encode()
    assert answers.listed_labels(len(values))(answer(data)).tolist() == values


def test_what_nobody_wants_to_know_is_read_where_it_is_little():
    body = Endless()
    answers.leave(urllib3.HTTPResponse(body, {}, 200, preload_content=False, decode_content=False))
    assert body.sent <= answers.LARGEST_REST
    answers.leave(answer(b"half", declared=8))  # and it is no matter when it breaks off

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

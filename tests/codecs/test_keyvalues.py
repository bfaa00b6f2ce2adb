"""Messages and archives of key-value pairs, compared with the protobuf library, tarfile and GNU tar."""

import io
import shutil
import subprocess
import tarfile

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import example, given
from hypothesis import strategies as st

from dvid.codecs.keyvalues import (
    PIECE_BYTES,
    KeyRange,
    decode_keys,
    decode_keyvalues,
    encode_keys,
    encode_keyvalues,
    tar_stream,
)
from dvid.errors import BadRequest, TooLarge

KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
PAIRS = st.lists(st.tuples(KEYS, st.binary(max_size=300)), max_size=30)
UINT64 = st.integers(0, 2**64 - 1)


@pytest.fixture(scope="session")
def messages():
    """The messages, declared here a second time in the words of the API's document."""
    file = descriptor_pb2.FileDescriptorProto(name="oracle.proto", package="oracle", syntax="proto3")
    text, binary, number, message = 9, 12, 4, 11
    declared = {
        "KeyValue": [("key", text, 1, ""), ("value", binary, 1, "")],
        "KeyValues": [("kvs", message, 3, ".oracle.KeyValue")],
        "KeyRange": [("key", text, 1, ""), ("byte_start", number, 1, ""), ("byte_end", number, 1, "")],
        "Keys": [("keys", text, 3, ""), ("key_ranges", message, 3, ".oracle.KeyRange")],
    }
    for name, fields in declared.items():
        one = file.message_type.add(name=name)
        for index, (field, kind, label, type_name) in enumerate(fields):
            one.field.add(name=field, number=index + 1, type=kind, label=label, type_name=type_name or None)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"oracle.{name}")) for name in declared}


@given(pairs=PAIRS)
@example(pairs=[("a" * 127, b"x" * 127), ("a" * 128, b"x" * 128), ("", b""), ("a", b"x" * 16_384)])
def test_pairs_are_encoded_and_decoded_as_the_protobuf_library_does(messages, pairs):
    oracle = messages["KeyValues"](kvs=[{"key": key, "value": value} for key, value in pairs])
    encoded = b"".join(encode_keyvalues((key, memoryview(value)) for key, value in pairs))
    # A message is equal in meaning where empty fields are written.
    assert messages["KeyValues"].FromString(encoded) == oracle
    assert decode_keyvalues(encoded) == pairs
    assert decode_keyvalues(memoryview(oracle.SerializeToString())) == pairs


@given(keys=st.lists(KEYS), ranges=st.lists(st.builds(KeyRange, KEYS, UINT64, UINT64)))
def test_keys_are_encoded_and_decoded_as_the_protobuf_library_does(messages, keys, ranges):
    oracle = messages["Keys"](
        keys=keys,
        key_ranges=[{"key": r.key, "byte_start": r.byte_start, "byte_end": r.byte_end} for r in ranges],
    ).SerializeToString()
    assert encode_keys(keys, ranges) == oracle
    assert decode_keys(memoryview(oracle)) == (keys, ranges)


@pytest.mark.parametrize("wrong", [KeyRange("a", -1, 5), KeyRange("a", 0, 2**64)])
def test_a_range_beyond_64_bits_is_refused(wrong):
    with pytest.raises(BadRequest):
        encode_keys([], [wrong])


@given(st.binary(max_size=100))
def test_any_bytes_are_messages_or_refused(garbage):
    for decode in (decode_keyvalues, decode_keys):
        try:
            decode(garbage)
        except BadRequest as error:
            assert str(len(garbage)) in str(error)  # noqa: PT017 - most garbage is refused, some is a message


@given(st.lists(st.tuples(KEYS, st.binary(max_size=300)), min_size=1, max_size=5), st.data())
def test_a_truncated_message_is_refused_unless_cut_between_pairs(pairs, draw):
    encoded = b"".join(encode_keyvalues(pairs))
    kept = draw.draw(st.integers(0, len(encoded)))
    ends = {len(b"".join(encode_keyvalues(pairs[:n]))): n for n in range(len(pairs) + 1)}
    if kept in ends:
        assert decode_keyvalues(encoded[:kept]) == pairs[: ends[kept]]
    else:
        with pytest.raises(BadRequest, match="KeyValues"):
            decode_keyvalues(encoded[:kept])


def test_a_key_that_is_not_utf8_is_refused():
    with pytest.raises(BadRequest, match="KeyValues"):
        decode_keyvalues(b"\x0a\x06\x0a\x02\xff\xfe\x12\x00")
    with pytest.raises(BadRequest, match="Keys"):
        decode_keys(b"\x0a\x02\xff\xfe")


@pytest.mark.parametrize("stream", [encode_keyvalues, tar_stream])
def test_a_stream_holds_no_more_than_a_piece_and_a_pair(stream):
    read = 0

    def pairs():
        nonlocal read
        for number in range(1000):
            read += 1
            yield f"key-{number}", bytes(10_000)

    pieces = iter(stream(pairs()))
    assert PIECE_BYTES <= len(next(pieces)) < PIECE_BYTES + 20_000
    assert read < 30
    assert sum(map(len, pieces)) > 900 * 10_000
    assert read == 1000


def test_a_stream_of_nothing_is_an_empty_message():
    assert list(encode_keyvalues([])) == []
    assert decode_keyvalues(b"") == []


NAMES = st.one_of(
    # tarfile drops slashes at the end of a pax name.
    KEYS.filter(lambda name: name and not name.endswith("/")),
    st.text("abc/-_.", min_size=90, max_size=110).filter(lambda name: not name.endswith("/")),
)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=2000)), max_size=10))
@example([("a" * 100, b""), ("a" * 101, b"x" * 512), ("é" * 80, b"x" * 511), ("nul\0inside", b"x" * 513)])
def test_tarfile_reads_back_names_and_contents(pairs):
    archive = b"".join(tar_stream((key, memoryview(value)) for key, value in pairs))
    assert len(archive) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
        found = []
        for member in opened:
            assert member.isreg()
            content = opened.extractfile(member)
            assert content is not None
            found.append((member.name, content.read()))
    assert found == pairs


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar command")
def test_the_tar_command_unpacks_names_of_any_length_and_script(tmp_path):
    pairs = [
        ("plain", b"1"),
        ("folder/plain", b"22"),
        ("n" * 200, b"333"),
        ("Schlüssel-鍵", b"x" * 1000),
        ("empty", b""),
    ]
    archive = b"".join(tar_stream(pairs))
    unpacked = subprocess.run(
        ["tar", "-x", "-C", tmp_path], input=archive, capture_output=True, check=False, env={"LC_ALL": "C.UTF-8"}
    )
    assert (unpacked.returncode, unpacked.stderr) == (0, b"")
    assert {key: (tmp_path / key).read_bytes() for key, _ in pairs} == dict(pairs)


def test_a_message_of_too_many_pairs_is_refused_before_it_is_taken_apart():
    tiny = b"".join(encode_keyvalues([("a", b"b")]))
    with pytest.raises(TooLarge, match="500000 pairs"):
        decode_keyvalues(tiny * 500_001)
    assert len(decode_keyvalues(tiny * 100_000)) == 100_000
    large = b"".join(encode_keyvalues([("a", bytes(1 << 20)), ("b", b"")]))
    assert [len(value) for _, value in decode_keyvalues(large)] == [1 << 20, 0]

"""Label indices and mappings, compared with Google's protobuf library."""

import struct

import lz4.block
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given
from hypothesis import strategies as st

from dvid.codecs.labelindex import (
    LabelIndex,
    LabelIndices,
    Stamp,
    compressed_records,
    decode_label_index,
    decode_label_indices,
    decode_mappings,
    encode_label_index,
    encode_label_indices,
)
from dvid.errors import BadRequest, TooLarge

LIMIT = 10**6
LOW, HIGH = 1 - 2**20, 2**20 - 1


def messages():
    """The classes of the messages, made from their declaration."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="test/labelindex.proto", package="test", syntax="proto3")

    def add(parent, name, *fields):
        message = parent.add(name=name)
        for number, field, kind, repeated in fields:
            made = message.field.add(name=field, number=number)
            made.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            if isinstance(kind, str):
                made.type, made.type_name = kinds.TYPE_MESSAGE, f".test.{kind}"
            else:
                made.type = kind
        return message

    def add_map(message, name, value):
        entry = add(message.nested_type, name, (1, "key", kinds.TYPE_UINT64, False), (2, "value", value, False))
        entry.options.map_entry = True

    u64, text = kinds.TYPE_UINT64, kinds.TYPE_STRING
    count = add(
        file.message_type, "SVCount", (1, "counts", "SVCount.CountsEntry", True), (2, "surface_mutid", u64, False)
    )
    add_map(count, "CountsEntry", kinds.TYPE_UINT32)
    index = add(
        file.message_type,
        "LabelIndex",
        (1, "blocks", "LabelIndex.BlocksEntry", True),
        (2, "label", u64, False),
        (3, "last_mutid", u64, False),
        (4, "last_mod_time", text, False),
        (5, "last_mod_user", text, False),
        (6, "last_mod_app", text, False),
    )
    add_map(index, "BlocksEntry", "SVCount")
    add(file.message_type, "LabelIndices", (1, "indices", "LabelIndex", True))
    add(file.message_type, "MappingOp", (1, "mutid", u64, False), (2, "mapped", u64, False), (3, "original", u64, True))
    add(file.message_type, "MappingOps", (1, "mappings", "MappingOp", True))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = ("LabelIndex", "LabelIndices", "MappingOps")
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(f"test.{name}")) for name in names]


GoogleIndex, GoogleIndices, GoogleMappings = messages()


def code_of(zyx):
    """The key of a block: 21 bits for each of z, y, x; the highest is the sign."""
    bits = "".join(f"{int(c < 0)}{abs(c):020b}" for c in zyx)
    return int(bits, 2)


def zyx_of(code):
    bits = f"{code:063b}"
    axes = [bits[i : i + 21] for i in (0, 21, 42)]
    return tuple(int(axis[1:], 2) * (-1 if axis[0] == "1" else 1) for axis in axes)


def google_rows(message):
    """Block, supervoxel and count of what is counted, in order."""
    return sorted(
        (zyx_of(code), sv, n) for code, value in message.blocks.items() for sv, n in value.counts.items() if n
    )


def rows(index):
    return list(
        zip(map(tuple, index.blocks_zyx.tolist()), index.supervoxels.tolist(), index.counts.tolist(), strict=True)
    )


axis = st.sampled_from([LOW, -1, 0, 1, HIGH]) | st.integers(LOW, HIGH)
label = st.sampled_from([0, 1, 127, 128, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
count = st.sampled_from([1, 127, 128, 2**32 - 1]) | st.integers(1, 2**32 - 1)
entries = st.dictionaries(st.tuples(st.tuples(axis, axis, axis), label), count, max_size=30)
stamp = st.builds(Stamp, st.text(max_size=5), st.sampled_from(["", "me", "ü" * 100]), st.text(max_size=5))


def index_of(body, held, mutid=0, stamp=Stamp()):  # noqa: B008
    ordered = sorted(held.items())
    return LabelIndex(
        body,
        np.array([block for (block, _), _ in ordered], np.int32).reshape(-1, 3),
        np.array([sv for (_, sv), _ in ordered], np.uint64),
        np.array([n for _, n in ordered], np.uint32),
        mutid,
        stamp,
    )


def indices_of(many):
    return LabelIndices(
        np.array([one.label for one in many], np.uint64),
        np.cumsum([0, *(len(one.counts) for one in many)]),
        np.concatenate([np.empty((0, 3), np.int32), *(one.blocks_zyx for one in many)]),
        np.concatenate([np.empty(0, np.uint64), *(one.supervoxels for one in many)]),
        np.concatenate([np.empty(0, np.uint32), *(one.counts for one in many)]),
        np.array([one.last_mutid for one in many], np.uint64),
        [one.stamp for one in many],
    )


indexes = st.builds(index_of, label, entries, label, stamp)


def assert_google_reads(message, index):
    assert google_rows(message) == rows(index)
    assert (message.label, message.last_mutid) == (index.label, index.last_mutid)
    found = Stamp(message.last_mod_time, message.last_mod_user, message.last_mod_app)
    assert found == index.stamp


def assert_same(found, index):
    assert rows(found) == rows(index)
    assert (found.label, found.last_mutid, found.stamp) == (index.label, index.last_mutid, index.stamp)
    assert (found.blocks_zyx.dtype, found.supervoxels.dtype, found.counts.dtype) == (np.int32, np.uint64, np.uint32)


@given(indexes)
def test_an_index_is_read_by_another_library_and_back(index):
    encoded = encode_label_index(index)
    assert_google_reads(GoogleIndex.FromString(encoded), index)
    assert_same(decode_label_index(encoded, LIMIT), index)


@given(st.lists(indexes, max_size=5))
def test_indices_are_read_by_another_library_and_back(many):
    encoded = encode_label_indices(indices_of(many))
    message = GoogleIndices.FromString(encoded)
    found = decode_label_indices(memoryview(encoded), LIMIT)
    assert len(message.indices) == len(found) == len(many)
    for i, index in enumerate(many):
        assert_google_reads(message.indices[i], index)
        assert_same(found[i], index)


@given(st.lists(indexes, max_size=5), st.randoms())
def test_what_another_library_writes_in_any_order_is_read(many, random):
    message = GoogleIndices()
    for index in many:
        made = message.indices.add(label=index.label, last_mutid=index.last_mutid)
        made.last_mod_time, made.last_mod_user, made.last_mod_app = index.stamp.time, index.stamp.user, index.stamp.app
        held = rows(index)
        random.shuffle(held)
        for block, sv, n in held:
            made.blocks[code_of(block)].counts[sv] = n
            made.blocks[code_of(block)].surface_mutid = 3
    found = decode_label_indices(message.SerializeToString(), LIMIT)
    for i, index in enumerate(many):
        assert_same(found[i], index)


def test_the_key_of_a_block_is_its_coordinates_in_21_bits_each():
    index = index_of(1, {((-1, 2, -3), 5): 7})
    (code,) = GoogleIndex.FromString(encode_label_index(index)).blocks
    assert code == (2**20 + 1) << 42 | 2 << 21 | (2**20 + 3)


@pytest.mark.parametrize("block", [(0, 0, 2**20), (0, -(2**20), 0), (2**31 - 1, 0, 0), (-(2**31), 0, 0)])
def test_a_block_without_a_key_is_refused_by_its_name(block):
    z, y, x = block
    with pytest.raises(BadRequest, match=f"block {x},{y},{z} has no key"):
        encode_label_index(index_of(1, {((0, 0, 0), 1): 1, (block, 1): 1}))


def varint(number):
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def number(field, value):
    return varint(field << 3) + varint(value)


def nested(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def block(code, *counts):
    return nested(1, number(1, code) + nested(2, b"".join(nested(1, number(1, a) + number(2, b)) for a, b in counts)))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (block(1, (5, 1)) + block(1, (6, 2)), [((0, 0, 1), 6, 2)]),
        (block(1, (5, 1)) + block(1), []),
        (block(2**20 | 1, (5, 1)) + block(1, (5, 3)), [((0, 0, -1), 5, 1), ((0, 0, 1), 5, 3)]),
        (block(2**20, (5, 1)) + block(0, (5, 3)), [((0, 0, 0), 5, 3)]),
        (block(1, (5, 1), (4, 1), (5, 0)), [((0, 0, 1), 4, 1)]),
        (block(1, (5, 0), (4, 0), (5, 9), (4, 8)), [((0, 0, 1), 4, 8), ((0, 0, 1), 5, 9)]),
        # The key comes last, twice, and the value in two parts.
        (
            nested(
                1,
                nested(2, nested(1, number(2, 3)))
                + nested(2, nested(1, number(1, 4) + number(2, 5)))
                + number(1, 9)
                + number(1, 2),
            ),
            [((0, 0, 2), 0, 3), ((0, 0, 2), 4, 5)],
        ),
        (nested(1, b""), []),
        (nested(9, b"x") + number(7, 5) + b"\x3d1234" + b"\x4112345678" + block(3, (1, 1)), [((0, 0, 3), 1, 1)]),
        (b"", []),
    ],
)
def test_unusual_messages_are_read_as_maps_are(data, expected):
    assert rows(decode_label_index(data, LIMIT)) == expected
    held = {zyx_of(code): value for code, value in GoogleIndex.FromString(data).blocks.items()}
    assert sorted((zyx, sv, n) for zyx, value in held.items() for sv, n in value.counts.items() if n) == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x0a", "at byte 0, it ends within a field"),
        (b"\x0a\x05abc", "it ends within a field"),
        (b"\x0a" + varint(2**64 - 1), "it ends within a field"),
        (number(2, 7) + b"\x18", "at byte 2, it ends within a field"),
        (b"\x10" + b"\xff" * 10, "takes more than 64 bits"),
        (b"\x10" + b"\xff" * 9 + b"\x02", "takes more than 64 bits"),
        (b"\x00\x00", "does not exist"),
        (b"\x0b\x0c", "does not exist"),
        (b"\x0e", "does not exist"),
        (varint(2**29 << 3) + b"\0", "does not exist"),
        (number(1, 5), "at byte 0, a field has another wire type"),
        (nested(2, b""), "another wire type"),
        (number(4, 1), "another wire type"),
        (nested(1, nested(1, b"")), "at byte 2, a field has another wire type"),
        (nested(1, number(2, 1)), "another wire type"),
        (nested(1, nested(2, number(1, 1))), "another wire type"),
        (nested(1, nested(2, nested(1, nested(1, b"")))), "another wire type"),
        (block(1, (1, 2**32)), "takes more than 32 bits"),
        (block(2**63, (1, 1)), "takes more than 63 bits"),
        (nested(1, nested(2, nested(1, b"\x08\x80")) + b"\x08\x01"), "it ends within a field"),
        (nested(5, b"\xff\xfe"), "not UTF-8"),
    ],
)
def test_what_is_no_index_is_refused_with_the_place(data, message):
    for decode, sent in [(decode_label_index, data), (decode_label_indices, nested(1, data))]:
        with pytest.raises(BadRequest) as refused:
            decode(sent, LIMIT)
        assert message.removeprefix("at byte 0, ").removeprefix("at byte 2, ") in str(refused.value)
    with pytest.raises(BadRequest, match=message):
        decode_label_index(data, LIMIT)


def test_every_truncation_is_refused_or_shorter():
    index = index_of(2**40, {((i, -i, i), 2**63 + i): 1000 * i for i in range(1, 20)}, 77, Stamp("now", "me", "app"))
    encoded = encode_label_indices(indices_of([index]))
    for size in range(1, len(encoded)):
        with pytest.raises(BadRequest, match="ends within a field"):
            decode_label_indices(encoded[:size], LIMIT)


@given(indexes, st.data())
def test_a_damaged_index_is_refused_or_read_as_another_library_reads_it(index, draw):
    encoded = bytearray(encode_label_index(index) or b"\0")
    for _ in range(draw.draw(st.integers(1, 3))):
        encoded[draw.draw(st.integers(0, len(encoded) - 1))] ^= draw.draw(st.integers(1, 255))
    compare_with_google(bytes(encoded))


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_read_as_another_library_reads_them(garbage):
    compare_with_google(garbage)
    compare_with_google(nested(1, garbage))
    compare_with_google(nested(1, number(1, 3) + nested(2, nested(1, garbage))))


def compare_with_google(data):
    try:
        found = decode_label_index(data, LIMIT)
    except BadRequest:
        return
    try:
        message = GoogleIndex.FromString(data)
    except DecodeError as error:
        # Of a text that comes twice, the library also checks the first.
        if "UTF-8" not in str(error):
            raise
        return
    # Two cases in which the library's map is another: -0 and 0 are two keys to it, and what has unknown fields is no entry.
    if all(code == code_of(zyx_of(code)) for code in message.blocks) and not lost_entries(message):
        assert_google_reads(message, found)


def lost_entries(message):
    parts = [message, *(value for value in message.blocks.values())]
    return any(unknown.field_number == 1 for part in parts for unknown in UnknownFieldSet(part))


def test_more_than_the_limit_is_refused():
    many = [index_of(i, {((0, 0, n), 1): 1 for n in range(i)}) for i in range(1, 5)]
    encoded = encode_label_indices(indices_of(many))
    assert len(decode_label_indices(encoded, 10)) == 4
    with pytest.raises(TooLarge, match="4 indices with 10 blocks and 10 counts; at most 9"):
        decode_label_indices(encoded, 9)
    with pytest.raises(TooLarge, match="5 blocks"):
        decode_label_index(block(1) * 5, 4)


@given(st.lists(indexes, max_size=4))
def test_records_are_stored_messages_in_lz4(many):
    stream = b"".join(compressed_records(indices_of(many)))
    at = 0
    for index in many:
        size, found = struct.unpack_from("<QQ", stream, at)
        stored, at = stream[at + 16 : at + 16 + size], at + 16 + size
        assert found == index.label
        if not len(index.counts):
            assert size == 0
            continue
        how, plain = struct.unpack_from("<BI", stored)
        assert how == 0x80
        message = lz4.block.decompress(stored[5:], uncompressed_size=plain)
        assert message == encode_label_index(index)
    assert at == len(stream)


def test_arrays_that_do_not_belong_together_are_refused():
    right = indices_of([index_of(1, {((0, 0, 0), 1): 1}), index_of(2, {((0, 0, 0), 2): 1})])
    parts = {name: getattr(right, name) for name in LabelIndices.__slots__}
    for changed in [
        {"bounds": np.array([0, 1, 3])},
        {"bounds": np.array([0, 3, 2])},
        {"bounds": np.array([-1, 1, 2])},
        {"bounds": np.array([0, 2])},
        {"counts": right.counts[:1]},
        {"supervoxels": right.supervoxels[:1]},
        {"blocks_zyx": right.blocks_zyx[:1]},
        {"labels": right.labels[:1]},
        {"stamps": []},
    ]:
        with pytest.raises(BadRequest, match="do not belong together"):
            encode_label_indices(LabelIndices(**{**parts, **changed}))


operations = st.lists(st.tuples(label, label, st.lists(label, max_size=20)), max_size=8)


@given(operations)
def test_mappings_of_another_library_are_read(made):
    message = GoogleMappings()
    for mutid, mapped, originals in made:
        message.mappings.add(mutid=mutid, mapped=mapped, original=originals)
    found = decode_mappings(message.SerializeToString(), LIMIT)
    assert mappings(found) == made


def mappings(found):
    return [
        (mutid, mapped, found.originals[found.bounds[i] : found.bounds[i + 1]].tolist())
        for i, (mutid, mapped) in enumerate(zip(found.mutids.tolist(), found.mapped.tolist(), strict=True))
    ]


def test_originals_may_be_packed_or_not():
    data = nested(1, number(3, 300) + nested(3, varint(5) + varint(2**64 - 1)) + number(2, 8) + number(3, 7))
    assert mappings(decode_mappings(data, LIMIT)) == [(0, 8, [300, 5, 2**64 - 1, 7])]


@given(operations, st.binary(max_size=30), st.data())
def test_damaged_mappings_are_refused_or_read_as_another_library_reads_them(made, garbage, draw):
    message = GoogleMappings()
    for mutid, mapped, originals in made:
        message.mappings.add(mutid=mutid, mapped=mapped, original=originals)
    encoded = bytearray(message.SerializeToString() + garbage or b"\0")
    encoded[draw.draw(st.integers(0, len(encoded) - 1))] ^= draw.draw(st.integers(1, 255))
    try:
        found = decode_mappings(bytes(encoded), LIMIT)
    except BadRequest:
        return
    read = GoogleMappings.FromString(bytes(encoded))
    assert mappings(found) == [(one.mutid, one.mapped, list(one.original)) for one in read.mappings]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (nested(1, nested(3, b"\x80")), "ends within a field"),
        (nested(1, nested(3, b"\xff" * 10)), "more than 64 bits"),
        (nested(1, nested(2, b"")), "another wire type"),
        (nested(1, b"\x1d1234"), "another wire type"),
        (number(1, 1), "another wire type"),
        (b"\x0a\x7f", "ends within a field"),
    ],
)
def test_what_is_no_mapping_is_refused(data, message):
    with pytest.raises(BadRequest, match=message):
        decode_mappings(data, LIMIT)


def test_more_mappings_than_the_limit_are_refused():
    data = nested(1, number(2, 1) + nested(3, bytes(10)))
    assert len(decode_mappings(data, 10).originals) == 10
    with pytest.raises(TooLarge, match="10 supervoxels"):
        decode_mappings(data, 9)
    with pytest.raises(TooLarge, match="3 operations"):
        decode_mappings(nested(1, b"") * 3, 2)

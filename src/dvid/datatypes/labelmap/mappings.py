"""Requests that ask to which bodies supervoxels belong, and that map them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from dvid.codecs.labelindex import decode_mappings
from dvid.datatypes.labelmap.arguments import HASH, MAX_LIST_BYTES, checked_body, label_array, listed
from dvid.errors import BadRequest
from dvid.labels.changes import MAPPINGS_APART, POSTED_MAPPINGS, came_apart
from dvid.labels.mapping import all_mappings, bodies_of, put_mappings, verified_bodies_of
from dvid.labels.numbering import LARGEST, saw_label
from dvid.labels.past import mapping_size, splits
from dvid.labels.tables import Labels
from dvid.routes import JSON, OCTETS, TEXT, Argument, Call, Reply, Route, choice, flag, json_reply
from dvid.versions.edit import Edit

MOST_MAPPED = 2_000_000
"""Supervoxels that one request maps."""

_SPACE, _COMMA, _LINE = b" ,\n"
_UNITS = ("kB", "MB", "GB", "TB", "PB")

_encode = msgspec.json.Encoder().encode


def get_mapping(call: Call, nolookup: bool, hash: str) -> Reply:  # noqa: A002 - the option's name
    """Answer the bodies of supervoxels."""
    asked = label_array(listed(checked_body(call, hash), "supervoxels"))
    with call.view() as view:
        indexed = view.instance.settings["IndexedLabels"]
        found = verified_bodies_of(view, asked) if indexed and not nolookup else bodies_of(view, asked)
    return Reply(_encode(found.tolist()), JSON)


def get_mappings(call: Call, format: str) -> Reply:  # noqa: A002 - the option's name
    """Answer all supervoxels that are mapped."""
    binary = format == "binary"
    return Reply(_all_mappings(call, binary), OCTETS if binary else TEXT)


def _all_mappings(call: Call, binary: bool) -> Iterator[bytes]:
    with call.view() as view:
        for supervoxels, bodies in all_mappings(view):
            pairs = np.stack((supervoxels, bodies), 1)
            yield pairs.astype("<u8").tobytes() if binary else _lines(pairs)


def _lines(pairs: Labels) -> bytes:
    """Pairs of numbers, a line for each: JSON has written them, only what stands between them is another."""
    text = np.frombuffer(_encode(pairs.ravel().tolist()), np.uint8)[1:].copy()
    text[-1] = _LINE
    between = np.flatnonzero(text == _COMMA)
    text[between[0::2]] = _SPACE
    text[between[1::2]] = _LINE
    return text.tobytes()


def post_mappings(call: Call) -> Reply:
    """Map supervoxels to bodies."""
    posted = decode_mappings(call.body(MAX_LIST_BYTES), MOST_MAPPED)
    for labels, least in ((posted.originals, 1), (posted.mapped, 0)):
        wrong = labels[(labels < least) | (labels > LARGEST)]
        if len(wrong):
            raise BadRequest(f"a mapping names the label {wrong[0]}; labels from {least} to {LARGEST} were expected")

    def enter(edit: Edit) -> Reply:
        if len(posted.originals):
            put_mappings(edit, posted.originals, np.repeat(posted.mapped, np.diff(posted.bounds)))
            saw_label(edit, int(max(posted.originals.max(), posted.mapped.max())))
            came_apart(edit, MAPPINGS_APART)
            edit.log(POSTED_MAPPINGS, {"Supervoxels": len(posted.originals)})
        return Reply(b"", TEXT)

    return call.edit(enter)


def get_supervoxel_splits(call: Call) -> Reply:
    """Answer the supervoxels that were split."""
    with call.view() as view:
        return json_reply([part for pair in splits(view) for part in pair])


def get_map_stats(call: Call) -> Reply:
    """Answer how large the mapping is."""
    with call.view() as view:
        size = mapping_size(view)
        return json_reply(
            {
                view.instance.name: {
                    "MapEntries": size.supervoxels,
                    "MapSize": _readable(size.bytes),
                    "NumVersions": size.versions,
                    "MaxVersion": size.last_version,
                }
            }
        )


def _readable(count: int) -> str:
    """Bytes for people, in decimal units: "83 MB", "8.3 MB"."""
    size, unit = float(count), "B"
    for larger in _UNITS:
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}" if unit != "B" and size < 9.95 else f"{size:.0f} {unit}"


ROUTES = (
    Route(
        "GET",
        "/mapping",
        get_mapping,
        "Answer the body of each supervoxel, as a JSON list in their order. 0 is the body of what is no supervoxel: it was "
        "split, or is the number of a body that came to be by a cleave or a renumbering, or never was.",
        options=(
            Argument(
                "nolookup",
                "true: do not look whether the supervoxels exist. Those that are not mapped are their own bodies then.",
                flag,
                schema={"type": "boolean"},
                default=False,
            ),
            HASH,
        ),
        body="A JSON list of supervoxels, like [1, 2, 3].",
        answers=JSON,
    ),
    Route(
        "GET",
        "/mappings",
        get_mappings,
        "Answer the supervoxels that belong to bodies of other numbers, in their order: a line for each, with the "
        "supervoxel, a space, and its body; 0 where the number is no supervoxel.",
        options=(
            Argument(
                "format",
                "binary: pairs of little-endian uint64 numbers instead of lines.",
                choice("", "binary", "text"),
                default="",
            ),
        ),
        answers=TEXT,
        immutable=True,
    ),
    Route(
        "POST",
        "/mappings",
        post_mappings,
        "Map supervoxels to bodies, as voxels are read from now on. Indices stay as they are: sizes and lists of bodies "
        "follow only when these are posted, too.",
        body=f"A protobuf MappingOps message, of at most {MAX_LIST_BYTES >> 20} MiB and {MOST_MAPPED:,} supervoxels.",
        answers=TEXT,
        writes=True,
    ),
    Route(
        "GET",
        "/supervoxel-splits",
        get_supervoxel_splits,
        "Answer the supervoxels that were split at this version or before: a JSON list with a version's UUID and its list "
        "of [mutation id, supervoxel, remainder, part split off], then the next version's, the nearest version first.",
        answers=JSON,
    ),
    Route(
        "GET",
        "/map-stats",
        get_map_stats,
        "Answer how large the mapping is that the store holds, all versions together: the supervoxels in it, its bytes, how "
        "many versions changed it, and the number of the newest of them. It is not kept in memory.",
        answers=JSON,
    ),
)

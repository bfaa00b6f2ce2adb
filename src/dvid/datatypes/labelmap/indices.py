"""Requests for label indices: which blocks hold a body, and how many voxels of each supervoxel."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from dvid.codecs.labelindex import (
    LabelIndices,
    compressed_records,
    decode_label_index,
    decode_label_indices,
    encode_label_index,
    encode_label_indices,
)
from dvid.datatypes.labelmap.arguments import LABEL, MAX_LIST_BYTES, label_array, listed, need_index
from dvid.errors import BadRequest
from dvid.labels.indices import index_of, indices_of, replace_indices
from dvid.labels.rewind import index_before
from dvid.labels.tables import Labels
from dvid.routes import OCTETS, TEXT, Argument, Call, Reply, Route, flag, integer, json_reply
from dvid.versions.edit import Edit

MOST_ASKED = 50_000
"""Labels whose indices one request answers, as in the reference server."""

MOST_POSTED = 4_000_000
"""Indices, blocks and counts that one request posts."""


def get_index(call: Call, label: int, mutid: int | None, **options: bool) -> Reply:
    """Answer the index of a body."""
    with call.view() as view:
        need_index(view)
        index = index_of(view, label) if mutid is None else index_before(view, label, mutid)
    if not options["metadata-only"]:
        return Reply(encode_label_index(index), OCTETS)
    return json_reply(
        {
            "num_voxels": int(index.counts.sum(dtype=np.uint64)),
            "last_mutid": index.last_mutid,
            "last_mod_time": index.stamp.time,
            "last_mod_user": index.stamp.user,
            "last_mod_app": index.stamp.app,
        }
    )


def post_index(call: Call, label: int) -> Reply:
    """Replace the index of a body."""
    posted = decode_label_index(call.body(), MOST_POSTED)
    if posted.label != label:
        raise BadRequest(f"the index in the request is that of label {posted.label}, not of {label} as the path says")
    one = LabelIndices(
        np.array([posted.label], np.uint64),
        np.array([0, len(posted.counts)], np.int64),
        posted.blocks_zyx,
        posted.supervoxels,
        posted.counts,
        np.array([posted.last_mutid], np.uint64),
        [posted.stamp],
    )
    return _replace(call, one)


def _replace(call: Call, posted: LabelIndices) -> Reply:
    def enter(edit: Edit) -> Reply:
        need_index(edit)
        replace_indices(edit, posted)
        return Reply(b"", TEXT)

    return call.edit(enter)


def get_indices(call: Call) -> Reply:
    """Answer the indices of many bodies."""
    return Reply(_each(call, _asked(call), lambda indices: iter((encode_label_indices(indices),))), OCTETS)


def get_indices_compressed(call: Call) -> Reply:
    """Answer the indices of many bodies, each compressed."""
    return Reply(_each(call, _asked(call), compressed_records), OCTETS)


def _asked(call: Call) -> Labels:
    labels = listed(call.body(MAX_LIST_BYTES))
    if len(labels) > MOST_ASKED:
        raise BadRequest(f"at most {MOST_ASKED:,} labels can be asked for at once, not {len(labels):,}")
    return label_array(labels)


def _each(call: Call, labels: Labels, written: Callable[[LabelIndices], Iterator[bytes]]) -> Iterator[bytes]:
    with call.view() as view:
        need_index(view)
        for indices in indices_of(view, labels):
            yield from written(indices)


def post_indices(call: Call) -> Reply:
    """Replace the indices of many bodies."""
    return _replace(call, decode_label_indices(call.body(), MOST_POSTED))


_BODY = Argument("label", "A body.", LABEL.parse, example="12345")
_LABELS = f"A JSON list of at most {MOST_ASKED:,} labels."
_EMPTY = "An index without blocks removes the body's. Voxels and the mapping stay as they are: see POST .../mappings."

ROUTES = (
    Route(
        "GET",
        "/index/{label}",
        get_index,
        "Answer the index of a body: a protobuf LabelIndex message. 404 if there is no such body.",
        arguments=(_BODY,),
        options=(
            Argument(
                "metadata-only",
                "true: instead of the index, a JSON object that tells how many voxels the body has, and who last changed it.",
                flag,
                schema={"type": "boolean"},
                default=False,
            ),
            Argument(
                "mutid",
                "The index as it was before this mutation, of this version or one before it. 404 if voxels were written at "
                "the mutation's version since then, or indices or mappings posted: what was before is not kept then.",
                integer(0, 2**63 - 1),
                schema={"type": "integer"},
                default=None,
                example="1000000017",
            ),
        ),
        answers=OCTETS,
    ),
    Route(
        "POST",
        "/index/{label}",
        post_index,
        f"Replace the index of a body, and with it its supervoxels and size. {_EMPTY}",
        arguments=(_BODY,),
        body="A protobuf LabelIndex message with the same label as the path.",
        answers=TEXT,
        writes=True,
    ),
    Route(
        "GET",
        "/indices",
        get_indices,
        "Answer the indices of many bodies in the order of the labels: a protobuf LabelIndices message. A body that there "
        "is not has an index without blocks.",
        body=_LABELS,
        answers=OCTETS,
    ),
    Route(
        "POST",
        "/indices",
        post_indices,
        f"Replace the indices of many bodies, all or none. {_EMPTY}",
        body=f"A protobuf LabelIndices message with at most {MOST_POSTED:,} indices, blocks and counts.",
        answers=TEXT,
        writes=True,
    ),
    Route(
        "GET",
        "/indices-compressed",
        get_indices_compressed,
        "Answer the indices of many bodies in the order of the labels. For each: the bytes that follow the label (uint64), "
        "the label (uint64), the byte 0x80, the bytes of the plain message (uint32), and the protobuf LabelIndex message "
        "as one LZ4 block; all numbers little-endian. For a body that there is not, 0 bytes follow the label.",
        body=_LABELS,
        answers=OCTETS,
    ),
)

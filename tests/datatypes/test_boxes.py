"""Boxes in requests, and the voxels that are sent for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import lz4.block
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from dvid.datatypes.boxes import expect_end, plain_body, requested_box, sent_planes, sent_voxels, within
from dvid.errors import BadRequest, TooLarge
from dvid.geometry import MAX_COORDINATE, Box


@dataclass
class Sent:
    """A request whose body comes in pieces of some bytes."""

    data: bytes
    piece: int = 1 << 20
    headers: dict[str, str] = field(default_factory=dict)
    limits: Any = field(default_factory=lambda: SimpleNamespace(body_bytes=1 << 20))
    at: int = 0

    def header(self, name: str) -> str | None:
        return self.headers.get(name)

    def read(self, size: int) -> bytes:
        found = self.data[self.at : self.at + min(size, self.piece)]
        self.at += len(found)
        return found

    def body(self) -> bytes:
        return self.data


PACK = {
    "": bytes,
    "lz4": lambda data: lz4.block.compress(data, store_size=False),
    "gzip": lambda data: isal_zlib.compress(data, 1, 31),
}
BOX = Box((-1, 2, 3), (6, 5, 8))  # 7 planes of 15 voxels
VOXELS = np.random.default_rng(0).integers(0, 9, BOX.shape_zyx).astype(np.uint16).tobytes()


def test_a_box_is_named_by_size_and_offset_x_first() -> None:
    assert requested_box((3, 4, 5), (-1, -2, -3)) == Box((-3, -2, -1), (2, 2, 2))
    last = Box.at((0, 0, MAX_COORDINATE - 1), (1, 1, 1))
    assert requested_box((1, 1, 1), (MAX_COORDINATE - 1, 0, 0)) == within(last) == last


@pytest.mark.parametrize(
    ("size", "offset"), [((3, 4), (0, 0, 0)), ((3, 4, 5, 6), (0, 0, 0)), ((1, 1, 2), (0, 0, MAX_COORDINATE - 1))]
)
def test_other_boxes_are_refused(size: Any, offset: Any) -> None:
    with pytest.raises(BadRequest):
        requested_box(size, offset)


@given(st.sampled_from(list(PACK)), st.lists(st.integers(1, 3), min_size=7), st.integers(1, 300))
def test_planes_come_as_they_were_sent_however_many_at_a_time(compression: str, counts: list[int], piece: int) -> None:
    call: Any = Sent(PACK[compression](VOXELS), piece)
    planes = sent_planes(call, compression, BOX, 2, 3)
    found, left = b"", 7
    for count in counts:
        taken = min(count, left)
        found += bytes(planes(taken)) if taken else b""
        left -= taken
    assert found == VOXELS
    if not compression:
        expect_end(call)


@pytest.mark.parametrize("compression", list(PACK))
@pytest.mark.parametrize("off", [-1, 1, 30])
def test_a_body_of_another_length_is_refused(compression: str, off: int) -> None:
    data = PACK[compression](VOXELS[:off] if off < 0 else VOXELS + bytes(off))

    def take() -> None:
        call: Any = Sent(data, 13)
        planes = sent_planes(call, compression, BOX, 2, 7)
        planes(7)
        expect_end(call)

    with pytest.raises((BadRequest, TooLarge)):
        take()
    call: Any = Sent(data)
    with pytest.raises((BadRequest, TooLarge)):
        sent_voxels(call, compression, len(VOXELS))


def test_a_length_that_is_announced_wrong_is_refused_before_anything_is_read() -> None:
    call: Any = Sent(VOXELS, headers={"Content-Length": str(len(VOXELS) + 1)})
    for take in (lambda: sent_planes(call, "", BOX, 2, 3), lambda: plain_body(call, len(VOXELS))):
        with pytest.raises(BadRequest, match="takes 210 bytes"):
            take()
    assert call.at == 0
    call.headers["Content-Length"] = str(len(VOXELS))
    assert plain_body(call, len(VOXELS)) == VOXELS


def test_a_box_larger_than_a_body_may_be_takes_no_memory() -> None:
    call: Any = Sent(b"")
    with pytest.raises(TooLarge, match=r"limits\.bodyBytes"):
        sent_planes(call, "", Box((0, 0, 0), (1 << 20, 1 << 20, 1 << 20)), 8, 1 << 20)

"""Lower resolutions: each block of a scale is made of the eight of the scale before it that it covers.

Whoever writes blocks asks in the same transaction for those of all lower resolutions that depend on them
(`ask_for_scales`). They are made in the background (`compute` and `store`), lowest scale first. Who reads a block that is asked
for, at its version or one before, gets it made on the spot: nobody ever sees an old one. What happens where the number of
scales changes is in `dvid.labels.growth`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import TypeVar

from dvid.codecs.labelblocks import Block, deflate, downres, trusted
from dvid.errors import Busy, MergeConflict
from dvid.geometry import Zyx
from dvid.labels.blocks import OpenBlocks, block_shape, read_blocks, stored_blocks
from dvid.labels.growth import is_growth, last_before_growth, last_kept, proceed
from dvid.labels.tables import BLOCKS, block_key
from dvid.versions import layout, work
from dvid.versions.edit import Edit
from dvid.versions.envelope import Format
from dvid.versions.view import View
from dvid.versions.work import Task

MOST_COUNTED = 100_000

T = TypeVar("T")
_Read = Callable[[View, int, Sequence[Zyx]], list[T | None]]


def lowest(view: View) -> int:
    """The number of the lowest resolution that can be asked for."""
    return int(view.instance.settings["MaxDownresLevel"])


def ask_for_scales(edit: Edit, scale: int, places: Iterable[Zyx], mutation: int) -> None:
    """Ask for the lower resolutions of blocks that were written."""
    whats, level = [], set(places)
    for below in range(scale + 1, last_kept(edit) + 1):
        level = {(z >> 1, y >> 1, x >> 1) for z, y, x in level}
        whats += [block_key(below, place) for place in level]
    edit.ask(whats, mutation)


def asked_at(view: View) -> list[int]:
    """The versions, of those that the view sees, at which blocks wait to be made."""
    return [version for version in work.versions_at_work(view.snapshot, view.instance) if view.sees(version)]


class Scales:
    """The blocks of all scales as they should be, whether or not they are made yet."""

    def __init__(self, view: View, versions: Sequence[int] | None = None) -> None:
        """`versions`, of those that the view sees, are where blocks wait to be made; None to look for them."""
        self._view = view
        if versions is None:
            versions = asked_at(view) if lowest(view) else ()
        self._versions = versions
        self._last = last_before_growth(view.snapshot, view.instance) if versions else None

    def check(self, scale: int) -> None:
        """Refuse a scale of whose blocks it is not known yet which there are to be.

        Raises:
            Busy: it was added a moment ago.
        """
        if self._last is not None and scale > self._last:
            raise Busy(
                f"scale {scale} of instance {self._view.instance.name!r} was added a moment ago, and its blocks are being "
                "looked for: ask again in a while"
            )

    def is_asked(self, scale: int, place: Zyx) -> bool:
        """True if the stored block is out of date."""
        if not scale:
            return False
        view, what = self._view, block_key(scale, place)
        asked = [v for v in self._versions if work.is_asked(view.snapshot, view.instance, v, what)]
        if not asked:
            return False
        try:
            written = view.written_at(BLOCKS, what)  # at a version after those: then it is of what that version has
        except MergeConflict:
            return True
        return written is None or any(written == v or not view.version(written).sees(v) for v in asked)

    def read(self, scale: int, places: Sequence[Zyx]) -> list[Block | None]:
        """Blocks, decompressed; None where there is nothing."""
        found, absent = self._stored(read_blocks, scale, places)
        for at in absent:
            found[at] = self.made(scale, places[at])
        return found

    def compressed(self, scale: int, places: Sequence[Zyx]) -> list[memoryview | bytes | None]:
        """Blocks as they are stored."""
        stored, absent = self._stored(stored_blocks, scale, places)
        found: list[memoryview | bytes | None] = list(stored)
        for at in absent:
            found[at] = _deflated(self.made(scale, places[at]))
        return found

    def _stored(self, read: _Read[T], scale: int, places: Sequence[Zyx]) -> tuple[list[T | None], list[int]]:
        """Blocks as `read` finds them, and at which places they are to be made instead.

        A merged node may inherit several of a lower resolution, each without what the others' versions wrote.
        """
        self.check(scale)
        try:
            found = read(self._view, scale, places)
        except MergeConflict:
            if not scale:
                raise
            if len(places) == 1:
                return [None], [0]
            each = [self._stored(read, scale, [place]) for place in places]
            return [found for (found,), _ in each], [at for at, (_, absent) in enumerate(each) if absent]
        asked = places if self._versions else ()
        return found, [at for at, place in enumerate(asked) if self.is_asked(scale, place)]

    def open(self, scale: int, places: Sequence[Zyx]) -> OpenBlocks:
        """Blocks, ready to be decoded."""
        return OpenBlocks(places, self.read(scale, places))

    def made(self, scale: int, place: Zyx) -> Block | None:
        """A block of a lower resolution, made of those of the scale before; None where there is nothing."""
        z, y, x = (2 * edge for edge in place)
        children = self.read(scale - 1, [(z + dz, y + dy, x + dx) for dz, dy, dx in product((0, 1), repeat=3)])
        if all(child is None for child in children):
            return None
        return trusted(downres(children, block_shape(self._view)))


def make_way(edit: Edit, scale: int, places: Iterable[Zyx]) -> None:
    """Prepare for blocks of a lower resolution that somebody has sent.

    Those made of them that are asked for are made first, of what there was before: as if they had been made at once.
    """
    scales, level = Scales(edit, asked_at(edit)), set(places)
    scales.check(last_kept(edit))  # what is added is made of what there was before
    made: list[tuple[bytes, bytes | None]] = []
    for below in range(scale + 1, last_kept(edit) + 1):
        level = {(z >> 1, y >> 1, x >> 1) for z, y, x in level}
        made += [
            (block_key(below, place), _deflated(scales.made(below, place)))
            for place in level
            if scales.is_asked(below, place)
        ]
    for what, block in made:
        _put(edit, what, block)
        edit.forget(what)
    for place in places:
        edit.forget(block_key(scale, place))


def _deflated(block: Block | None) -> bytes | None:
    return None if block is None else deflate(block)


def _put(edit: Edit, what: bytes, block: bytes | None) -> None:
    if block is not None:
        edit.put(BLOCKS, what, block, Format.GZIP)
    elif edit.get(BLOCKS, what) is not None:
        edit.delete(BLOCKS, what)


def make_again(edit: Edit, scales: Scales, scale: int, places: Iterable[Zyx]) -> None:
    """Make blocks of a lower resolution that nobody has asked for; `scales` are those that `edit` sees."""
    made = [(block_key(scale, place), _deflated(scales.made(scale, place))) for place in places]
    for what, block in made:
        _put(edit, what, block)


def compute(view: View, some: Sequence[Task]) -> list[bytes | None]:
    """Make blocks that were asked for at the view's version; None where there is nothing."""
    if is_growth(some[0]):
        return [None] * len(some)
    scales = Scales(view, asked_at(view))  # whether or not the instance is to have lower resolutions still
    return [_deflated(scales.made(what[0], layout.block_of(what[1:]))) for _, what, _ in some]


def store(edit: Edit, some: Sequence[Task], made: Sequence[bytes | None]) -> int:
    """Store blocks that were made, as far as they are still what was asked for; how many were."""
    if is_growth(some[0]):  # it comes before all others
        return int(proceed(edit.snapshot, edit.instance, some[0]))
    done = 0
    for task, block in zip(some, made, strict=True):
        if work.finish(edit.snapshot, edit.instance, task):
            done += 1
            _put(edit, task.what, block)
    return done


def behind(view: View) -> int:
    """How many blocks of lower resolutions wait to be made, of all versions; counted up to `MOST_COUNTED`."""
    return work.waiting(view.snapshot, view.instance, MOST_COUNTED)

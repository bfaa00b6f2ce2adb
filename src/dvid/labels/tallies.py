"""What rows of labels come to, many at a time: entries of the index, sizes and owners of supervoxels, voxels in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dvid.codecs.labelblocks import checked, inflate
from dvid.errors import DvidError
from dvid.geometry import Zyx
from dvid.labels.index import Entries
from dvid.labels.strata import KEY_BYTES, Places, Rows, Versions, read_rows
from dvid.labels.tables import BODY, ENTRY, INDEX, MAPPING, REGION, Labels, label_range
from dvid.labels.writing import tallied
from dvid.storage.protocol import Snapshot
from dvid.versions.envelope import Format
from dvid.versions.records import InstanceRecord


@dataclass(frozen=True, slots=True)
class Stored:
    """The data of an instance, at all its versions."""

    snapshot: Snapshot
    instance: InstanceRecord
    versions: Versions

    def rows(
        self, table: bytes, low: bytes = b"", high: bytes | None = None, together: int | None = None
    ) -> Iterator[Rows]:
        """See `read_rows`."""
        return read_rows(self.snapshot, self.instance, table, self.versions, low, high, together)

    def index(self) -> Iterator[IndexRows]:
        """The rows of INDEX, those of a supervoxel together."""
        for rows in self.rows(INDEX, together=8):
            yield IndexRows(rows)

    def mapping(self, supervoxels: Labels) -> Rows | None:
        """The rows of MAPPING from the first to the last of some supervoxels, which are sorted; None where there are none."""
        parts = list(self.rows(MAPPING, *label_range(int(supervoxels[0]), int(supervoxels[-1]))))
        return joined(parts) if parts else None

    def owners(self, supervoxels: Labels, seen: NDArray[np.bool_]) -> Labels:
        """The bodies of supervoxels, which are sorted, where these versions are seen."""
        owners = supervoxels.copy()
        rows = self.mapping(supervoxels) if len(supervoxels) else None
        if rows is not None:
            visible = rows.visible(seen)
            labels = rows.numbers()[visible]
            at = np.minimum(np.searchsorted(supervoxels, labels), len(supervoxels) - 1)
            known = supervoxels[at] == labels
            owners[at[known]] = mapped(rows)[visible[known]]
        return owners

    def is_contested(self, place: int) -> bool:
        """True if a version inherits several values of a key, because histories were merged: it shows none of them."""
        if not any(self.versions.sees[place, merge] for merge in self.versions.merges):
            return False
        return any(rows.are_contested(place, self.versions) for table in KEY_BYTES for rows in self.rows(table))

    def tally(self, rows: Rows, row: int) -> tuple[Labels, NDArray[np.int64]] | None:
        """The supervoxels of a block and their voxels; None if the block cannot be read."""
        if rows.formats[row] != Format.GZIP:
            return None
        x, y, z = self.instance.settings["BlockSize"]
        try:
            return tallied(checked(inflate(rows.payloads[row], (z, y, x)), (z, y, x)))
        except DvidError:
            return None


def joined(parts: list[Rows]) -> Rows:
    """Rows that follow each other."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(part.groups[-1] + 1 if len(part) else 0 for part in parts)])
    return Rows(
        np.concatenate([part.keys for part in parts]),
        np.concatenate([part.versions for part in parts]),
        [payload for part in parts for payload in part.payloads],
        np.concatenate([part.formats for part in parts]),
        np.concatenate([part.groups + start for part, start in zip(parts, starts, strict=False)]),
    )


def place_of(rows: Rows, row: int) -> Zyx:
    """The block of a row of BLOCKS."""
    z, y, x = (int.from_bytes(rows.keys[row, at : at + 4].tobytes(), "big") - 2**31 for at in (1, 5, 9))
    return z, y, x


def mapped(rows: Rows) -> Labels:
    """The body in each row of MAPPING; 0 where there is none to be read."""
    return _fixed(rows, np.dtype("<u8")).astype(np.uint64)


def bodies_in(rows: Rows) -> NDArray[np.void]:
    """Each row of BODIES; zeros where there is none to be read."""
    return _fixed(rows, BODY)


def _fixed(rows: Rows, dtype: np.dtype[np.void] | np.dtype[np.uint64]) -> NDArray[np.void]:
    absent = bytes(dtype.itemsize)
    return np.frombuffer(b"".join(p if len(p) == dtype.itemsize else absent for p in rows.payloads), dtype)


def spread(starts: Places, counts: Places) -> Places:
    """The numbers from each start on, so many as each count says, one after the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    numbers: Places = np.arange(total) + np.repeat(starts - (ends - counts), counts)
    return numbers


class IndexRows:
    """Rows of INDEX, taken apart."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.supervoxels = rows.numbers()
        """Of each row."""
        payloads = [payload if len(payload) % ENTRY.itemsize == 0 else b"" for payload in rows.payloads]
        self._entries = np.frombuffer(b"".join(payloads), ENTRY)
        self._counts = np.fromiter(map(len, payloads), np.int64, len(payloads)) // ENTRY.itemsize
        self._starts = np.cumsum(self._counts) - self._counts
        sums = np.concatenate((np.zeros(1, np.int64), np.cumsum(self._entries["voxels"].astype(np.int64))))
        self.voxels: NDArray[np.int64] = sums[self._starts + self._counts] - sums[self._starts]
        """Of each row."""

    def entries(self, which: Places) -> tuple[Entries, Places]:
        """The entries of some rows, and how many each of them has."""
        counts = self._counts[which]
        entries = self._entries[spread(self._starts[which], counts)]
        local = entries["block"].astype(np.int64)
        regions = self.rows.keys[which, 8:].copy().view(">u4").astype(np.int64) - 2**31
        blocks = np.repeat(regions * REGION, counts, 0) + np.stack((local >> 6, local >> 3 & 7, local & 7), 1)
        return Entries(np.repeat(self.supervoxels[which], counts), blocks, entries["voxels"].astype(np.int64)), counts

    def sizes(self, seen: NDArray[np.bool_]) -> tuple[Labels, NDArray[np.int64]]:
        """The supervoxels that there are where these versions are seen, sorted, and their voxels."""
        visible = self.rows.visible(seen)
        visible = visible[self.voxels[visible] > 0]
        return summed(self.supervoxels[visible], self.voxels[visible])


def summed(labels: Labels, numbers: NDArray[np.int64]) -> tuple[Labels, NDArray[np.int64]]:
    """Each label once, sorted, with the sum of its numbers."""
    found, places = np.unique(labels, return_inverse=True)
    sums = np.zeros(len(found), np.int64)
    np.add.at(sums, places, numbers)
    return found, sums

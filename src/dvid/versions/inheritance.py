"""What a version inherits: which of the entries stored under a key are visible at it."""

from __future__ import annotations

from collections.abc import Iterator

from dvid.errors import MergeConflict
from dvid.storage.protocol import Entry, Snapshot
from dvid.versions import layout
from dvid.versions.catalogue import Directory
from dvid.versions.envelope import Format
from dvid.versions.lineage import Lineage
from dvid.versions.sieve import LAST

_PATIENCE = 8  # versions of one key to step over before seeking past the rest


class Inheritance:
    """The entries that are visible at one version, as one snapshot shows them."""

    def __init__(
        self, snapshot: Snapshot, metadata: Snapshot, directory: Directory, lineage: Lineage, name: str
    ) -> None:
        self.snapshot = snapshot
        self._metadata = metadata  # the same, where repos and data are in one store
        self._directory = directory
        self._lineages = directory.lineages
        self._lineage = lineage
        self._version = lineage.version
        self._inverted = layout.inverted(lineage.version)
        self._unseen: dict[int, tuple[int, int] | None] = {}
        self._name = name

    def sees(self, version: int) -> bool:
        """True if `version` is this view's version or an ancestor of it."""
        return self._lineages.sees(self._metadata, self._lineage, version)

    def _visible(self, entry: Entry) -> tuple[bytes, memoryview] | None:
        """The entry to read where `entry` is the newest that may be visible."""
        key, stored = entry
        if key[-4:] == self._inverted:
            return entry
        found = self._nearest(key, stored)
        if found is None or not self._lineage.merged:
            return found
        return self._only(self._with_rivals(*found))

    def _nearest(self, key: bytes, stored: memoryview) -> tuple[bytes, memoryview] | None:
        """The newest visible entry among this one and the older ones of the same key."""
        while not self.sees(version := layout.version_of(key)):
            bound = self._lineage.next_below(version)
            nearest = self.snapshot.seek(key[:-4] + layout.inverted(bound), layout.VERSION_BYTES) if bound else None
            if nearest is None:
                return None
            key, stored = nearest
        return key, stored

    def _with_rivals(self, key: bytes, stored: memoryview) -> list[tuple[bytes, memoryview]]:
        """The newest visible entry of a key, and those that it does not descend from, nor they from each other."""
        heirs = [(key, stored)]
        span = self._unseen_by(layout.version_of(key))
        if span is None:
            return heirs
        stem, of = key[:-4], self._lineages.of
        low, high = span
        heads = [of(self._metadata, layout.version_of(key))]
        for entry in self.snapshot.scan(stem + layout.inverted(high), stem + layout.inverted(low) + b"\0"):
            version = layout.version_of(entry.key)
            if self.sees(version) and not any(self._lineages.sees(self._metadata, head, version) for head in heads):
                heads.append(of(self._metadata, version))
                heirs.append(entry)
        return heirs

    def _unseen_by(self, version: int) -> tuple[int, int] | None:
        if not self._lineage.merged or version == self._version:
            return None
        try:
            return self._unseen[version]
        except KeyError:
            span = self._lineage.unseen_by(self._lineages.of(self._metadata, version))
            self._unseen[version] = span
            return span

    def _only(self, heirs: list[tuple[bytes, memoryview]]) -> tuple[bytes, memoryview]:
        """The one heir.

        Raises:
            MergeConflict: there are several, and not all say that there is no value.
        """
        if len(heirs) > 1 and any(stored[0] != Format.TOMBSTONE for _, stored in heirs):
            versions = ", ".join(str(layout.version_of(key)) for key, _ in heirs)
            raise MergeConflict(
                f"instance {self._name!r}: the merged node inherits different values of one key, from versions "
                f"{versions}: write the key to decide, or merge with /resolve"
            )
        return heirs[0]

    def _lives(self, key: bytes, stored: memoryview) -> bool:
        if stored[0] != Format.TOMBSTONE:
            return True
        return any(heir[0] != Format.TOMBSTONE for _, heir in self._with_rivals(key, stored))

    def _newest(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, memoryview]]:
        """The newest visible entry of each key."""
        seen: dict[bytes, bool] = {self._inverted: True}
        done, inverted = b"", self._inverted
        while True:
            idle = 0
            for key, stored in self.snapshot.scan(low, high):
                suffix, stem = key[-4:], key[:-4]
                if stem == done or suffix < inverted:
                    idle += 1
                    if idle > _PATIENCE:  # many versions of this key: seek to the next one that can matter
                        low = stem + (LAST if stem == done else inverted)
                        break
                    continue
                visible = seen.get(suffix)
                if visible is None:
                    visible = seen[suffix] = self.sees(layout.version_of(suffix))
                if visible:
                    done, idle = stem, 0
                    yield key, stored
            else:
                return

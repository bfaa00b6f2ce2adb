"""Which versions a node descends from: a question asked for every value read, so it must not cost more in deep DAGs.

The DAG is cut into chains: paths along which each node continues its predecessor. Version numbers grow along every
path, so "is version w an ancestor of v" is one comparison: w is in v's past if w's number is not above the last
number of w's chain that v has seen. A lineage holds one number for each chain in the past, however many versions
these chains have. Parents never change, so lineages are cached for good.
"""

from __future__ import annotations

from dataclasses import dataclass

from dvid.errors import UnknownNode
from dvid.storage.protocol import Snapshot
from dvid.versions import layout
from dvid.versions.envelope import unseal
from dvid.versions.records import NodeRecord, decode

_MOST_KEPT = 100_000  # a bound, not a tuning: an entry is some 200 bytes


def read_node(snapshot: Snapshot, version: int) -> NodeRecord:
    """The record of a node.

    Raises:
        UnknownNode: no node has that version number.
    """
    key = layout.NODE + layout.pack_u32(version)
    stored = snapshot.get(key)
    if stored is None:
        raise UnknownNode(f"there is no version {version}")
    return decode(unseal(key, stored).payload, NodeRecord)


@dataclass(frozen=True, slots=True)
class Lineage:
    """The past of one version."""

    version: int
    chain: int
    """Version of the first node of the chain that the version belongs to."""
    base: dict[int, int]
    """For each other chain in the past: the last version seen."""
    merged: bool
    """True if values may be in conflict, because two histories were merged somewhere in the past."""

    def extent(self) -> dict[int, int]:
        """For every chain in the past, the own one included: the last version seen."""
        return {**self.base, self.chain: self.version}

    def next_below(self, version: int) -> int:
        """A bound for what is in the past and older than `version`: no number between the two is. 0: there is none."""
        if version > self.chain:
            return version - 1
        return max((min(last, version - 1) for chain, last in self.base.items() if chain < version), default=0)

    def unseen_by(self, other: Lineage) -> tuple[int, int] | None:
        """Between which numbers lie the versions in this past that are older than `other` and not in its past.

        `other` belongs to this past. None if there are no such versions, as where no histories were merged since.
        """
        seen = other.extent()
        low, high = other.version, 0
        for chain, last in self.extent().items():
            first = max(chain, seen.get(chain, 0) + 1)
            last = min(last, other.version - 1)
            if first <= last:
                low, high = min(low, first), max(high, last)
        return (low, high) if high else None


class Lineages:
    """The lineages of a store, read when first asked for. Safe for use by many threads.

    Only what is known of committed versions is kept: the number of a version whose transaction failed is given out
    again, to a node with another past.
    """

    def __init__(self) -> None:
        self._chains: dict[int, int] = {}
        self._bases: dict[int, dict[int, int]] = {}
        self._lineages: dict[int, Lineage] = {}
        self._committed = 0

    def committed(self, version: int) -> None:
        """Say that versions up to this number are committed to the store."""
        self._committed = max(version, self._committed)

    def of(self, snapshot: Snapshot, version: int) -> Lineage:
        """The lineage of a version."""
        found = self._lineages.get(version)
        if found is not None:
            return found
        node = read_node(snapshot, version)
        base = self._bases.get(node.chain)
        if base is None:
            base = dict(read_node(snapshot, node.chain).base)
        lineage = Lineage(version, node.chain, base, node.merged)
        if version <= self._committed:
            if len(self._lineages) > _MOST_KEPT:
                self._lineages, self._bases, self._chains = {}, {}, {}
            self._bases[node.chain] = base
            self._chains[version] = node.chain
            self._lineages[version] = lineage
        return lineage

    def sees(self, snapshot: Snapshot, lineage: Lineage, version: int) -> bool:
        """True if `version` is the lineage's own version or an ancestor of it."""
        if version == lineage.version:
            return True
        chain = self._chains.get(version)
        if chain is None:
            if version > lineage.version:  # and perhaps newer than the snapshot: data may be of another store
                return False
            chain = read_node(snapshot, version).chain
            if version <= self._committed:
                if len(self._chains) > 10 * _MOST_KEPT:
                    self._chains = {}
                self._chains[version] = chain
        if chain == lineage.chain:
            return version < lineage.version
        return version <= lineage.base.get(chain, 0)

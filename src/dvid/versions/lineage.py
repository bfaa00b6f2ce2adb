"""Which versions a node descends from: a question asked for every value read, so it must not cost more in deep DAGs.

The DAG is cut into chains: paths along which each node continues its predecessor. Version numbers grow along every
path, so "is version w an ancestor of v" is one comparison: w is in v's past if w's number is not above the last
number of w's chain that v has seen. A lineage holds one number for each chain in the past, however many versions
these chains have. Parents never change, so lineages are cached for good.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from dvid.errors import UnknownNode
from dvid.storage.protocol import Snapshot
from dvid.versions import layout
from dvid.versions.envelope import unseal
from dvid.versions.records import NodeRecord, decode


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
    base: dict[int, int]
    """For each other chain in the past: the last version seen."""
    merged: bool
    """True if values may be in conflict, because two histories were merged somewhere in the past."""

    def extent(self) -> dict[int, int]:
        """For every chain in the past, the own one included: the last version seen."""
        return {**self.base, self.chain: self.version}


class Lineages:
    """The lineages of a store, read when first asked for. Safe for use by many threads."""

    def __init__(self) -> None:
        self._chains: dict[int, int] = {}
        self._bases: dict[int, dict[int, int]] = {}
        self._lineages: dict[int, Lineage] = {}
        self._lock = threading.Lock()

    def of(self, snapshot: Snapshot, version: int) -> Lineage:
        """The lineage of a version."""
        found = self._lineages.get(version)
        if found is not None:
            return found
        node = read_node(snapshot, version)
        base = self._bases.get(node.chain)
        if base is None:
            base = self._bases[node.chain] = dict(read_node(snapshot, node.chain).base)
        lineage = Lineage(version, node.chain, base, node.merged)
        with self._lock:
            if len(self._lineages) > 100_000:  # a bound, not a tuning: an entry is some 200 bytes
                self._lineages.clear()
                self._bases.clear()
            self._lineages[version] = lineage
            self._chains[version] = node.chain
        return lineage

    def sees(self, snapshot: Snapshot, lineage: Lineage, version: int) -> bool:
        """True if `version` is the lineage's own version or an ancestor of it."""
        if version == lineage.version:
            return True
        chain = self._chains.get(version)
        if chain is None:
            chain = self._chains[version] = read_node(snapshot, version).chain
        if chain == lineage.chain:
            return version < lineage.version
        return version <= lineage.base.get(chain, -1)

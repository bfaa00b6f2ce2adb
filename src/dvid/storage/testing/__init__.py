"""The conformance suite that every engine passes: inherit `StoreConformance` and say how to open a store.

The tests are promises about `dvid.storage.protocol.Store`; they use several threads and processes where it speaks of
them.
"""

from __future__ import annotations

from dvid.storage.testing.fixtures import pair, pairs, put_all, value_of
from dvid.storage.testing.isolation import IsolationConformance
from dvid.storage.testing.lasting import LastingConformance
from dvid.storage.testing.order import OrderConformance

__all__ = ["StoreConformance", "pair", "pairs", "put_all", "value_of"]


class StoreConformance(OrderConformance, IsolationConformance, LastingConformance):
    """All promises of a store. A subclass sets `opener`."""

"""Who changed bodies: what the mutation log says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from dvid.codecs.labelindex import Stamp
from dvid.labels.bodies import Bodies, Body, existing
from dvid.labels.tables import BODIES, Labels, label_key, label_keys
from dvid.versions import layout
from dvid.versions.edit import Edit
from dvid.versions.view import View

COMPLETE: Final = "-complete"
"""How actions of the log end that people do to bodies: merges, cleaves, splits. The others tell of data that came in."""

POSTED_INDEX: Final = "post-index"
POSTED_MAPPINGS: Final = "post-mappings"

BLOCKS_APART: Final = "blocks without index"
INDICES_APART: Final = "posted indices"
MAPPINGS_APART: Final = "posted mappings"
SCALES_APART: Final = "blocks without scales"
"""Numbers of an instance (see `View.number`): not 0 once clients have sent blocks, indices or mappings alone, or blocks of
lower resolutions. Then they are to agree when all of them have come, and nobody knows when that is."""


@dataclass(frozen=True, slots=True)
class Change:
    """The last change of a body."""

    mutation: int
    stamp: Stamp
    """Empty where only voxels were written."""


class Changes:
    """The last changes of bodies, as one view shows them."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._events: dict[tuple[int, int], list[dict[str, Any]]] = {}

    def last(self, label: int, row: Body | None = None) -> Change:
        """The last change of a body, whose row the caller may have at hand.

        Raises:
            NotFound: there is no such body.
        """
        row = existing(self._view, label) if row is None else row
        (key,), _ = self._view.stored(BODIES, [label_key(label)])
        return self._change(label, layout.version_of(key), row.mutation)

    def of(self, labels: Labels, rows: Bodies) -> list[Change]:
        """The last changes of bodies that there are, with their rows."""
        keys, _ = self._view.stored(BODIES, label_keys(labels))
        mutations = rows["mutation"].tolist()
        return [
            self._change(label, layout.version_of(key), mutation)
            for label, key, mutation in zip(labels.tolist(), keys, mutations, strict=True)
        ]

    def _change(self, label: int, version: int, mutation: int) -> Change:
        for event in self._of_mutation(version, mutation):
            if event["Action"].endswith(COMPLETE):
                return Change(mutation, Stamp(event["Timestamp"], event.get("User", ""), event.get("App", "")))
            if event["Action"] == POSTED_INDEX and label in event["Labels"]:
                stamp = Stamp(event["LastModTime"], event["LastModUser"], event["LastModApp"])
                return Change(event["LastMutID"] or mutation, stamp)
        return Change(mutation, Stamp())

    def _of_mutation(self, version: int, mutation: int) -> list[dict[str, Any]]:
        at = (version, mutation)
        if at not in self._events:
            events = self._view.events_of(version, mutation)
            for event in events:
                if event["Action"] == POSTED_INDEX:
                    event["Labels"] = frozenset(event["Labels"])
            self._events[at] = events
        return self._events[at]


def came_apart(edit: Edit, what: str) -> None:
    """Note that blocks, indices or mappings came alone."""
    if not edit.number(what):
        edit.set_number(what, 1)


def log_index(edit: Edit, labels: list[int], last_mutid: int, stamp: Stamp) -> int:
    """Log that indices of bodies were posted, with what these say of their last change; the mutation id."""
    came_apart(edit, INDICES_APART)
    return edit.log(
        POSTED_INDEX,
        {
            "Labels": labels,
            "LastMutID": last_mutid,
            "LastModTime": stamp.time,
            "LastModUser": stamp.user,
            "LastModApp": stamp.app,
        },
    )

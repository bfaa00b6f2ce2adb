"""Volumes of supervoxels, and bodies made of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy
import urllib3

from dvidclient import answers, arguments
from dvidclient.arguments import UInt64s
from dvidclient.connection import quoted
from dvidclient.data.calls import ask, change, numbers_for
from dvidclient.data.labels import Labels, UndoableLabels
from dvidclient.messages.labelindex import BodyIndex
from dvidclient.sparse import SparseVolume

MOST_LISTED = 10_000_000
"""How many labels a server lists at most in one answer."""


class LabelMap(Labels, UndoableLabels):
    """A volume of supervoxels, of which bodies are made that can be merged, cleaved and split: a labelmap."""

    # ---- bodies ---------------------------------------------------------------------------------

    def supervoxels(self, body: int) -> UInt64s:
        """The supervoxels of a body: uint64 (n), sorted."""
        body = arguments.label(body, "body")
        what = f"reading the supervoxels of body {body} of {self}"
        return numpy.sort(ask(self, f"supervoxels/{body}", what, answers.listed_labels()))

    def supervoxel_sizes(self, body: int) -> tuple[UInt64s, UInt64s]:
        """The supervoxels of a body, sorted, and how many voxels each has: two uint64 arrays (n)."""
        body = arguments.label(body, "body")
        what = f"reading the supervoxels of body {body} of {self}"
        receive = answers.paired_labels("supervoxels", "sizes")
        supervoxels, sizes = ask(self, f"supervoxel-sizes/{body}", what, receive)
        order = numpy.argsort(supervoxels)
        return supervoxels[order], sizes[order]

    def mapping(self, supervoxels: Any) -> UInt64s:
        """The bodies of supervoxels: uint64 (n), in their order; 0 for what is no supervoxel."""
        wanted = arguments.labels(supervoxels, "supervoxels")
        return numbers_for(self, "mapping", f"reading the bodies of {len(wanted)} supervoxels of {self}", wanted)

    @property
    def mappings(self) -> UInt64s:
        """The supervoxels that belong to bodies of other numbers, and these bodies: uint64 (n, 2).

        The body is 0 where a number is that of no supervoxel any more, or of a body only.
        """
        found = ask(self, "mappings", f"reading the mappings of {self}", answers.labels, query={"format": "binary"})
        return found[: len(found) // 2 * 2].reshape(-1, 2)

    def body_size(self, body: int, *, supervoxels: bool | None = None) -> int:
        """How many voxels a body has, or a supervoxel.

        Raises:
            ServerRefused: there is none (404).
        """
        body = arguments.label(body, "body")
        what = f"asking for the size of body {body} of {self}"
        return ask(self, f"size/{body}", what, answers.number("voxels"), query=self._read_as(0, supervoxels))

    def sizes(self, bodies: Any, *, supervoxels: bool | None = None) -> UInt64s:
        """How many voxels bodies have, or supervoxels: uint64 (n), in their order; 0 where there is none."""
        wanted = arguments.labels(bodies, "bodies")
        what = f"asking for the sizes of {len(wanted)} bodies of {self}"
        return numbers_for(self, "sizes", what, wanted, self._read_as(0, supervoxels))

    def sparsevol_size(self, body: int, *, supervoxels: bool | None = None) -> dict[str, Any]:
        """How many voxels a body has (``voxels``), in how many blocks (``numblocks``), and the box around them as the server tells it (``minvoxel``, ``maxvoxel``: x, y, z)."""
        body = arguments.label(body, "body")
        what = f"asking for the size of body {body} of {self}"
        return ask(self, f"sparsevol-size/{body}", what, answers.fields, query=self._read_as(0, supervoxels))

    def listlabels(self, start: int = 0, number: int | None = None) -> UInt64s:
        """The bodies in order of their labels: uint64 (n).

        Args:
            start: the smallest label to list.
            number: how many at most; all if not given.
        """
        return self._listed(start, number, 1)[:, 0]

    def listed_sizes(self, start: int = 0, number: int | None = None) -> UInt64s:
        """The bodies in order of their labels, and how many voxels each has: uint64 (n, 2); arguments as of ``listlabels``."""
        return self._listed(start, number, 2)

    def _listed(self, start: int, number: int | None, columns: int) -> UInt64s:
        parts: list[UInt64s] = []
        listed = 0
        while number is None or listed < number:
            at_once = MOST_LISTED if number is None else min(MOST_LISTED, number - listed)
            query = {"start": int(start), "number": at_once, "sizes": columns == 2}
            receive = functools.partial(_page, start=start, most=at_once, columns=columns)
            parts.append(ask(self, "listlabels", f"listing the bodies of {self} from {start} on", receive, query=query))
            listed += len(parts[-1])
            if len(parts[-1]) < at_once:
                break
            start = int(parts[-1][-1, 0]) + 1
        return numpy.concatenate(parts) if parts else numpy.empty((0, columns), numpy.uint64)

    def lastmod(self, body: int) -> dict[str, Any]:
        """Which mutation last changed a body, and who, when and with which program, as the server tells it."""
        body = arguments.label(body, "body")
        return ask(self, f"lastmod/{body}", f"asking who last changed body {body} of {self}", answers.fields)

    def index(self, body: int) -> BodyIndex:
        """Which blocks hold a body, and how many voxels of each of its supervoxels.

        Raises:
            ServerRefused: there is no such body (404).
        """
        body = arguments.label(body, "body")
        return ask(self, f"index/{body}", f"reading the index of body {body} of {self}", _index)

    def history(self, body: int, begin: str, end: str | None = None) -> list[dict[str, Any]]:
        """Where a body came from: the mutations of what its supervoxels belonged to, the oldest first, as the server tells it.

        Args:
            body: at the later version.
            begin: UUID of the earlier version.
            end: UUID of the later version; this one if not given.
        """
        body = arguments.label(body, "body")
        path = f"history/{body}/{quoted(begin, 'begin')}/{quoted(end or self.node.uuid, 'end')}"
        return ask(self, path, f"reading the history of body {body} of {self}", answers.documents)

    def new_labels(self, count: int = 1) -> range:
        """Labels that are used for nothing else from now on."""
        return self._reserved(f"nextlabel/{int(count)}", count, None)

    # ---- changes --------------------------------------------------------------------------------

    def cleave(self, body: int, supervoxels: Any) -> int:
        """Takes supervoxels out of a body, and makes a body of them; some of it must be left.

        Returns:
            The label of the new body.
        """
        body = arguments.label(body, "body")
        wanted = arguments.labels(supervoxels, "supervoxels")
        what = f"cleaving {len(wanted)} supervoxels off body {body} of {self}"
        return change(self, f"cleave/{body}", what, answers.number("CleavedLabel"), document=wanted.tolist())

    def renumber(self, numbers: Mapping[int, int]) -> int | None:
        """Gives bodies other numbers.

        Args:
            numbers: the new number of each, by the old one.

        Returns:
            The number of the mutation; None where the server does not tell it.
        """
        pairs = [arguments.label(label, "numbers") for old, new in numbers.items() for label in (new, old)]
        return change(
            self, "renumber", f"renumbering {len(numbers)} bodies of {self}", answers.mutation, document=pairs
        )

    def split_supervoxel(
        self,
        supervoxel: int,
        voxels: SparseVolume,
        *,
        split: int | None = None,
        remain: int | None = None,
        downres: bool = True,
    ) -> tuple[int, int]:
        """Splits a supervoxel in two, which both stay in its body.

        Args:
            supervoxel: which.
            voxels: what is split off.
            split: label of what is split off; one that is new to the server if not given.
            remain: label of what remains; one that is new to the server if not given.
            downres: whether lower resolutions follow.

        Returns:
            The label of what is split off, and that of what remains.
        """
        supervoxel = arguments.label(supervoxel, "supervoxel")
        query = {
            "split": None if split is None else arguments.label(split, "split"),
            "remain": None if remain is None else arguments.label(remain, "remain"),
            "downres": None if downres else "false",
        }
        what = f"splitting {voxels} off supervoxel {supervoxel} of {self}"
        path = f"split-supervoxel/{supervoxel}"
        receive = answers.numbers("SplitSupervoxel", "RemainSupervoxel")
        off, rest = change(self, path, what, receive, body=voxels.to_wire(), query=query)
        return off, rest


def _page(response: urllib3.BaseHTTPResponse, start: int, most: int, columns: int) -> UInt64s:
    """Bodies from a label on, at most so many, with what comes behind each: uint64 (n, columns)."""
    found = answers.labels(response, columns * most)
    if len(found) % columns:
        raise answers.Broken(f"expected {columns} numbers for each body, got {len(found)}")
    page = found.reshape(-1, columns)
    if len(page) and (page[0, 0] < start or (page[1:, 0] <= page[:-1, 0]).any()):
        # Janelia's server ends a list that it could not finish with zeros. And if a server gave the same ones again and again,
        # asking from the last one on would never come to an end.
        raise answers.Broken(f"expected bodies in order, from {start} on, got {page[:, 0]}")
    return page


def _index(response: urllib3.BaseHTTPResponse) -> BodyIndex:
    try:
        return BodyIndex.from_wire(answers.whole(response))
    except ValueError as error:
        raise answers.Broken(f"expected the index of a body: {error}") from None

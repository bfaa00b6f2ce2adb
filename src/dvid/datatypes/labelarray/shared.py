"""Requests that labelarray has in common with labelmap, without their supervoxels: what is asked and answered are labels of bodies."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import chain

from dvid.datatypes.labelmap import blocks, editing, numbers, sparse, volumes
from dvid.datatypes.labelmap.arguments import LABEL, SUPERVOXELS
from dvid.routes import Argument, Route

LABEL_HERE = replace(LABEL, about="Which label.")

_ABOUTS = {
    "GET raw": "",
    "GET isotropic": "",
    "POST isotropic": "",
    "GET pseudocolor": "",
    "GET label": "",
    "GET labels": "",
    "GET blocks": "",
    "GET specificblocks": "",
    "GET sparsevol": "Answer where a label is: runs of voxels, each four int32: x, y, z of its first voxel, and its voxels along x. "
    "404 if it has none within the bounds.",
    "HEAD sparsevol": "200 if a label is anywhere within bounds, which count as whole blocks; else 204.",
    "GET sparsevol-by-point": "Answer where the label of a voxel is, as sparsevol does.",
    "GET sparsevol-coarse": "Answer in which blocks a label is: rles, with blocks for voxels.",
    "GET sparsevols-coarse": "Answer in which blocks each label of a range is: uint64 label, int32 number of runs, and the runs.",
    "POST merge": "Merge labels into another one, and answer the mutation id. The time it takes does not depend on how many "
    "voxels they have, nor on the label that takes them.",
    "POST undo": "Take back a merge of this version. That is a mutation of its own, which can be taken back, too. Answers "
    '{"MutationID": id of the undo, "Undone": id of what it took back, "UndoneAction": what that was, "Redo": true if that was '
    "an undo}. It is 409, with the reason, where it cannot be: another mutation since then depends on this one, it was taken back "
    "already, or it was made at another version.",
    "GET maxlabel": "",
    "GET nextlabel": "",
}
"""The requests, and what they do where that is told in other words here."""

_BOUNDED = ("GET sparsevol", "GET sparsevol-by-point", "GET sparsevol-coarse")
"""These are answered by 404 where no voxel of the label is within bounds."""


def _name(route: Route) -> str:
    return f"{route.method} {route.path.split('/')[1].split('[')[0]}"


def _here(argument: Argument) -> Argument:
    return LABEL_HERE if argument is LABEL else argument


def _of_bodies(route: Route) -> Route:
    shared = replace(
        route,
        about=_ABOUTS[_name(route)] or route.about,
        arguments=tuple(map(_here, route.arguments)),
        options=tuple(option for option in route.options if option is not SUPERVOXELS),
    )
    if SUPERVOXELS not in route.options:
        return shared
    needed = {"needed": "voxel"} if _name(route) in _BOUNDED else {}
    return replace(shared, handler=partial(route.handler, supervoxels=False, **needed))


ROUTES = tuple(
    _of_bodies(route)
    for route in chain(volumes.ROUTES, blocks.ROUTES, sparse.ROUTES, editing.ROUTES, numbers.ROUTES)
    if _name(route) in _ABOUTS
)

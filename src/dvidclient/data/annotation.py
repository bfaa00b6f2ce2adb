"""Annotations: points with a kind, tags, properties, and relationships to other points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import urllib3

from dvidclient import answers, arguments
from dvidclient.arguments import BoxZYX, Int32s
from dvidclient.connection import quoted
from dvidclient.data.calls import ask, change
from dvidclient.data.instance import Instance
from dvidclient.errors import BadArgument
from dvidclient.tables import data_frame

COLUMNS = ("x", "y", "z", "kind", "tags", "relationships", "props")


class Elements(list[dict[str, Any]]):
    """Annotations: a list of dicts, each with the keys of ``COLUMNS``.

    ``x``, ``y`` and ``z`` are the voxel, integers. ``kind`` is a string, such as ``PreSyn``, ``PostSyn``, ``Gap`` or ``Note``. ``tags`` is a
    list of strings. ``props`` is a dict of strings. ``relationships`` is a list of dicts with a ``rel``, such as ``PostSynTo``, and the
    ``x``, ``y``, ``z`` of the other voxel.
    """

    @property
    def points_zyx(self) -> Int32s:
        """The voxels: z, y, x of each (n, 3)."""
        return arguments.points_zyx([[element["z"], element["y"], element["x"]] for element in self])

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` with a row for each, and the columns ``COLUMNS``.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        return data_frame(self, COLUMNS)


class Annotations(Instance):
    """Annotations at a version. Not every server serves the data of this type: it answers 501 then."""

    # ---- reading --------------------------------------------------------------------------------

    def within(self, box_zyx: BoxZYX) -> Elements:
        """Those in a box of voxels: slices along z, y and x, with starts and stops."""
        box = arguments.box_zyx(box_zyx)
        size = "_".join(str(edge) for edge in arguments.shape_of(box)[::-1])
        path = f"elements/{size}/{arguments.path_xyz([part.start for part in box])}"
        return ask(self, path, f"reading {self} in z, y, x {box_zyx}", _elements)

    def of_label(self, label: int, *, relationships: bool = True) -> Elements:
        """Those on the voxels of a label of the instance that this one is synced with.

        Args:
            label: which; of a labelmap, a body.
            relationships: False leaves these out, which is quicker.
        """
        label = arguments.label(label)
        query = {"relationships": relationships}
        return ask(self, f"label/{label}", f"reading {self} of label {label}", _elements, query=query)

    def of_tag(self, tag: str, *, relationships: bool = True) -> Elements:
        """Those with a tag; arguments as of ``of_label``."""
        query = {"relationships": relationships}
        return ask(self, f"tag/{quoted(tag, 'tag')}", f"reading {self} with tag {tag!r}", _elements, query=query)

    def in_roi(self, name: str) -> Elements:
        """Those in a region of interest: a roi instance of the same version, whose blocks are as large as those of this one."""
        return ask(self, f"roi/{quoted(name, 'name')}", f"reading {self} in roi {name!r}", _elements)

    def all(self) -> Elements:
        """All of them."""
        return ask(self, "all-elements", f"reading {self}", _elements_of_blocks)

    # ---- writing --------------------------------------------------------------------------------

    def post(self, elements: Iterable[Mapping[str, Any]] | Any) -> None:
        """Adds annotations; one at the voxel of another one takes its place.

        Args:
            elements: dicts as ``Elements`` has them, of which only ``x``, ``y``, ``z`` and ``kind`` must be there; or a DataFrame of such
                columns.

        Raises:
            BadArgument: one of them is none; names which.
        """
        given = elements.to_dict("records") if hasattr(elements, "to_dict") else elements
        documents = [_document(at, element) for at, element in enumerate(given)]
        if documents:
            what = f"writing {len(documents)} elements of {self}"
            change(self, "elements", what, answers.nothing, document=documents)

    def remove(self, point_zyx: Any) -> None:
        """Removes the annotation of a voxel."""
        path = f"element/{arguments.path_xyz(point_zyx)}"
        change(self, path, f"removing the element at z, y, x {point_zyx} of {self}", answers.nothing, method="DELETE")

    def move(self, from_zyx: Any, to_zyx: Any) -> None:
        """Moves the annotation of a voxel to another one; relationships to it follow."""
        path = f"move/{arguments.path_xyz(from_zyx, 'from_zyx')}/{arguments.path_xyz(to_zyx, 'to_zyx')}"
        what = f"moving the element at z, y, x {from_zyx} to {to_zyx} of {self}"
        change(self, path, what, answers.nothing)

    def reload(self, *, check: bool = False) -> None:
        """Lets the server find anew which annotations have a label or a tag. It goes on after the answer, and refuses writes meanwhile.

        Args:
            check: only what is found to be wrong is replaced.
        """
        change(self, "reload", f"reloading {self}", answers.nothing, query={"check": check})


def _document(at: int, element: Any) -> dict[str, Any]:
    """An annotation as servers take it."""
    if not isinstance(element, Mapping):
        raise BadArgument(f"elements[{at}]: expected a dict, got {element!r}")
    unknown = [key for key in element if key not in COLUMNS]
    if unknown:
        raise BadArgument(f"elements[{at}]: expected the keys {', '.join(COLUMNS)}, got {unknown[0]!r}")
    return {
        "Pos": _xyz(element, f"elements[{at}]"),
        "Kind": arguments.text(element.get("kind"), f"elements[{at}].kind"),
        "Tags": [arguments.text(tag, f"elements[{at}].tags") for tag in _listed(element.get("tags"))],
        "Prop": _texts(element.get("props"), f"elements[{at}].props"),
        "Rels": [
            _relation(relation, f"elements[{at}].relationships") for relation in _listed(element.get("relationships"))
        ],
    }


def _relation(relation: Any, field: str) -> dict[str, Any]:
    if not isinstance(relation, Mapping):
        raise BadArgument(f"{field}: expected dicts, got {relation!r}")
    return {"Rel": arguments.text(relation.get("rel"), f"{field}.rel"), "To": _xyz(relation, field)}


def _texts(values: Any, field: str) -> dict[str, str]:
    if not isinstance(values, Mapping):
        # A table has NaN where a row has nothing.
        if values is None or values != values:
            return {}
        raise BadArgument(f"{field}: expected a dict of strings, got {values!r}")
    for name, value in values.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise BadArgument(f"{field}: expected strings, got {name!r}: {value!r}")
    return dict(values)


def _xyz(element: Mapping[str, Any], field: str) -> list[int]:
    z, y, x = arguments.point_zyx([element.get(axis) for axis in "zyx"], f"{field} z, y, x")
    return [x, y, z]


def _listed(values: Any) -> list[Any]:
    return list(values) if isinstance(values, (list, tuple, set)) else []


def _elements(response: urllib3.BaseHTTPResponse) -> Elements:
    return _read(answers.entries(response))


def _elements_of_blocks(response: urllib3.BaseHTTPResponse) -> Elements:
    return _read([element for block in answers.fields(response).values() for element in block or []])


def _read(documents: Iterable[Any]) -> Elements:
    try:
        return Elements(_element(document) for document in documents)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise answers.Broken(f"expected annotations: {error!r}") from None


def _element(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_at(document["Pos"]),
        "kind": document.get("Kind", ""),
        "tags": list(document.get("Tags") or []),
        "relationships": [{"rel": one["Rel"], **_at(one["To"])} for one in document.get("Rels") or []],
        "props": dict(document.get("Prop") or {}),
    }


def _at(position_xyz: list[Any]) -> dict[str, int]:
    x, y, z = map(int, position_xyz)
    return {"x": x, "y": y, "z": z}

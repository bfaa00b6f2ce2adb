"""How servers describe a repo: whether a description has the form that they give it.

The form is that of ``GET /api/repos/info`` and ``/api/repo/UUID/info`` of the DVID API.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from dvidclient.errors import Unsupported


def check_repo(uuid: str, document: Any) -> None:
    """Looks for all that a repo cannot be shown without; what is merely left out is no fault.

    Args:
        uuid: by which it is listed: that of its root.
        document: the description.

    Raises:
        Unsupported: names the place, what is expected there, and what stands there.
    """
    repo = _object(document, "the repository")
    if (root := repo.get("Root")) != uuid:
        raise _wrong("Root", f"{uuid!r}, by which it is listed", root)
    nodes = _object(_object(repo.get("DAG"), "DAG").get("Nodes"), "DAG.Nodes")
    for uuid, node in nodes.items():
        place = f"DAG.Nodes.{uuid}"
        version = _object(node, place).get("VersionID")
        if not _is_whole(version):
            raise _wrong(f"{place}.VersionID", "a whole number", version)
        for field in ("Parents", "Children"):
            relatives = node.get(field)
            if relatives is not None and not (isinstance(relatives, list) and all(map(_is_whole, relatives))):
                raise _wrong(f"{place}.{field}", "a list of whole numbers", relatives)
    instances = repo.get("DataInstances")
    for name, instance in _object({} if instances is None else instances, "DataInstances").items():
        _object(instance, f"DataInstances.{name}")


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(place, "a JSON object", value)
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong(place: str, expected: str, value: Any) -> Unsupported:
    found = "nothing" if value is None else reprlib.repr(value)
    return Unsupported(f"{place}: expected {expected}, got {found}")

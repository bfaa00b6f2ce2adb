"""What all data instances have, whatever their type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dvidclient.connection import Connection, quoted
from dvidclient.display import html_fields
from dvidclient.errors import BadArgument

if TYPE_CHECKING:
    from dvidclient.node import Node


class Instance:
    """A data instance at a version.

    Args:
        node: the version that is read and written.
        document: what the server answers for ``/api/node/UUID/NAME/info``.
    """

    def __init__(self, node: Node, document: Mapping[str, Any]) -> None:
        self.node = node
        self.info = document

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.info["Base"]["Name"])

    @property
    def typename(self) -> str:
        """The type of its data, such as ``uint8blk``."""
        return str(self.info["Base"]["TypeName"])

    @property
    def data_uuid(self) -> str:
        """What the server knows it by, under any name."""
        return str(self.info["Base"]["DataUUID"])

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the server tells of this type of data."""
        return self.info.get("Extended") or {}

    @property
    def path(self) -> str:
        """Of its requests."""
        return f"{self.node.path}/{quoted(self.name, 'name')}"

    @property
    def connection(self) -> Connection:
        """To its server."""
        return self.node.connection

    def refresh(self) -> Instance:
        """Asks the server anew."""
        self.info = self.connection.get_json(f"{self.path}/info", f"asking for {self}")
        return self

    def at(self, node: Node) -> Any:
        """The same instance at another version of the repo."""
        return node[self.name]

    @property
    def tags(self) -> dict[str, str]:
        """What people wrote on it: names and values, asked for anew."""
        answer = self.connection.get_json(f"{self.path}/tags", f"the tags of {self}")
        return dict(answer.get("Tags") or {})

    def write_tags(self, replace: bool = False, **tags: str) -> None:
        """Adds tags; with ``replace`` these are all it has then."""
        query = {"replace": True} if replace else {}
        self.connection.tell(f"{self.path}/tags", f"writing tags of {self}", document=tags, query=query)

    @property
    def help(self) -> str:
        """What the server says of this type of data and its requests."""
        return self.connection.get_text(f"{self.path}/help", f"the help on {self}")

    def sync(self, *names: str, replace: bool = False) -> None:
        """Lets it follow other instances of the repo, such as annotations the labels that they lie on."""
        query = {"replace": True} if replace else {}
        self.connection.tell(f"{self.path}/sync", f"syncing {self}", document={"sync": ",".join(names)}, query=query)

    def delete(self, *, imsure: bool = False) -> None:
        """Deletes it with all its data, at all versions. It wants an admin's token; Janelia's DVID has no such request."""
        if not imsure:
            raise BadArgument(f"deleting {self} deletes its data at all versions: say imsure=True")
        self.connection.tell(
            f"/api/repo/{quoted(self.node.uuid, 'uuid')}/instance/{quoted(self.name, 'name')}",
            f"deleting {self}",
            method="DELETE",
            query={"imsure": True},
        )
        self.node.refresh()

    def __str__(self) -> str:
        return f"{self.typename} {self.name!r}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} ({self.typename}) at {self.node}{self._told()}>"

    def _told(self) -> str:
        """What more the representation tells, with ``: `` or ``, `` before it."""
        return ""

    def _html_fields(self) -> dict[str, object]:
        """What more the table in a notebook tells."""
        return {}

    def _repr_html_(self) -> str:
        return html_fields(self.name, {"type": self.typename, "version": str(self.node), **self._html_fields()})

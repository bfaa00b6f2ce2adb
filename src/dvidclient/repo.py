"""A repo: versions that build on one another, and data instances that all of them share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dvidclient.arguments import text
from dvidclient.connection import Connection, quoted
from dvidclient.display import counted, html_table
from dvidclient.errors import BadArgument
from dvidclient.log import Logged
from dvidclient.node import Node

if TYPE_CHECKING:
    from dvidclient.server import Server

MASTER = "master"


class Repo(Logged):
    """A repo as the server described it when it was opened, last changed here, or refreshed.

    Args:
        server: that holds it.
        document: what the server answers for ``/api/repo/UUID/info``.
    """

    def __init__(self, server: Server, document: Mapping[str, Any]) -> None:
        self.server = server
        self._document = document

    @property
    def document(self) -> Mapping[str, Any]:
        """How the server describes it."""
        return self._document

    @property
    def connection(self) -> Connection:
        """To its server."""
        return self.server.connection

    @property
    def path(self) -> str:
        """Of its requests."""
        return f"/api/repo/{quoted(self.uuid, 'uuid')}"

    def refresh(self) -> Repo:
        """Asks the server anew."""
        self._document = self.connection.get_json(f"{self.path}/info", f"asking for {self}")
        return self

    @property
    def uuid(self) -> str:
        """UUID of the root, which names the repo."""
        return str(self.document["Root"])

    @property
    def alias(self) -> str:
        """Its name."""
        return str(self.document.get("Alias") or "")

    @property
    def description(self) -> str:
        """What it is for."""
        return str(self.document.get("Description") or "")

    @property
    def nodes(self) -> dict[str, Node]:
        """All versions by UUID, in the order in which they were made."""
        documents = self._node_documents
        return {uuid: Node(self, uuid) for uuid in sorted(documents, key=lambda uuid: documents[uuid]["VersionID"])}

    @property
    def root(self) -> Node:
        """The first version."""
        return Node(self, self.uuid)

    @property
    def master(self) -> Node:
        """The last version of the master branch."""
        return self.branch(MASTER)

    @property
    def branches(self) -> dict[str, Node]:
        """The last version of each branch, by its name: the newest one where a branch has several."""
        return {node.branch_name or MASTER: node for node in self.nodes.values()}

    def __getitem__(self, selector: str) -> Node:
        """The last version of a branch, by its name, or else any version, by its UUID or the beginning of it."""
        return self.branches.get(selector) or self.node(selector)

    def branch(self, name: str = MASTER) -> Node:
        """The last version of a branch."""
        found = self.branches.get(name)
        if found is None:
            raise BadArgument(f"repo {self.alias!r} has no branch {name!r}, but {', '.join(map(repr, self.branches))}")
        return found

    def node(self, selector: str) -> Node:
        """A version.

        Args:
            selector: its UUID or the beginning of it, ``UUID:branch`` or ``:branch`` for the last one of a branch, with
                ``~N`` behind it for the one N steps before.

        Raises:
            BadArgument: it names none, or several.
        """
        prefix, colon, rest = text(selector, "selector").partition(":")
        documents = self._node_documents
        found = [prefix] if prefix in documents else [uuid for uuid in documents if uuid.startswith(prefix)]
        if not found or (len(found) != 1 and not colon):
            raise BadArgument(f"{selector!r} is the beginning of {len(found)} of the UUIDs of repo {self.alias!r}")
        return self._on_branch(rest, selector) if colon else Node(self, found[0])

    def _on_branch(self, name_and_steps: str, selector: str) -> Node:
        name, tilde, steps = name_and_steps.partition("~")
        if tilde and not steps.isdecimal():
            raise BadArgument(f"{selector!r}: expected a number of steps behind '~', got {steps!r}")
        node = self.branch(name or MASTER)
        for _ in range(int(steps or 0)):
            if not node.parents:
                raise BadArgument(f"{selector!r} goes back beyond the root of repo {self.alias!r}")
            node = node.parents[0]
        return node

    @property
    def instance_names(self) -> list[str]:
        """The names of its data instances, sorted."""
        return sorted(self.instance_documents)

    @property
    def instance_documents(self) -> Mapping[str, Mapping[str, Any]]:
        """How the server describes each data instance, by name."""
        return self.document.get("DataInstances") or {}

    def merge(self, parents: Iterable[Node | str], note: str = "") -> Node:
        """Makes a version of which the given ones, all committed and without conflicts, are the parents."""
        uuids = [parent.uuid if isinstance(parent, Node) else self.node(parent).uuid for parent in parents]
        answer = self.connection.tell(
            f"{self.path}/merge",
            f"merging {len(uuids)} versions of {self}",
            document={"mergeType": "conflict-free", "parents": uuids, "note": note},
        )
        return self.refresh().node(answer["child"])

    def delete(self, *, imsure: bool = False, passcode: str | None = None) -> None:
        """Deletes the repo with all its data. Servers want an admin's token for it."""
        if not imsure:
            raise BadArgument(f"deleting repo {self.alias!r} deletes all its data: say imsure=True")
        self.connection.tell(
            self.path,
            f"deleting {self}",
            method="DELETE",
            query={"imsure": True, "passcode": passcode},
        )

    def __str__(self) -> str:
        return f"repo {self.alias!r}"

    def __repr__(self) -> str:
        return (
            f"<Repo {self.alias!r} {self.uuid[:8]} of {self.server.url}: {counted(self._node_documents, 'version')}, "
            f"{counted(self.instance_documents, 'instance')}>"
        )

    def _repr_html_(self) -> str:
        rows = [
            (
                node.uuid[:8],
                node.branch_name or MASTER,
                "committed" if node.locked else "open",
                node.created[:19],
                node.note,
            )
            for node in self.nodes.values()
        ]
        table = html_table(
            f"{self.alias} ({self.uuid[:8]})", ["version", "branch", "state", "created (UTC)", "note"], rows
        )
        instances = [(name, document["Base"]["TypeName"]) for name, document in sorted(self.instance_documents.items())]
        return table + html_table("instances", ["name", "type"], instances)

    @property
    def _node_documents(self) -> Mapping[str, Mapping[str, Any]]:
        nodes: Mapping[str, Mapping[str, Any]] = self.document["DAG"]["Nodes"]
        return nodes

    def node_document(self, uuid: str) -> Mapping[str, Any]:
        """How the server describes a version."""
        return self._node_documents[uuid]

    def node_of_version(self, version: int) -> Node:
        """The version with a number that parents and children are named by."""
        for uuid, document in self._node_documents.items():
            if document["VersionID"] == version:
                return Node(self, uuid)
        raise BadArgument(f"repo {self.alias!r} has no version with the number {version}")

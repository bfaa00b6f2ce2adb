"""A node of the version graph: what can be read there, and, while it is open, written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dvidclient.connection import Connection, quoted
from dvidclient.data import instance_at
from dvidclient.data.instance import Instance
from dvidclient.display import html_fields
from dvidclient.errors import BadArgument
from dvidclient.log import Logged, as_lines
from dvidclient.volume_client import VolumeClient
from dvidclient.volume_metainfo import MetaInfo

if TYPE_CHECKING:
    from dvidclient.repo import Repo


class Node(Logged):
    """A version of a repo. ``node["name"]`` is a data instance at this version.

    What it tells of itself is what the server said when the repo was opened or last refreshed.
    """

    def __init__(self, repo: Repo, uuid: str) -> None:
        self.repo = repo
        self.uuid = uuid

    @property
    def path(self) -> str:
        """Of its requests."""
        return f"/api/node/{quoted(self.uuid, 'uuid')}"

    @property
    def connection(self) -> Connection:
        """To its server."""
        return self.repo.connection

    @property
    def document(self) -> Mapping[str, Any]:
        """How the server describes it."""
        return self.repo.node_document(self.uuid)

    def refresh(self) -> Node:
        """Asks the server anew."""
        self.repo.refresh()
        return self

    @property
    def version(self) -> int:
        """The number that the server gave it."""
        return int(self.document["VersionID"])

    @property
    def branch_name(self) -> str:
        """The name of its branch; empty for master."""
        return str(self.document.get("Branch") or "")

    @property
    def note(self) -> str:
        """What was said of it."""
        return str(self.document.get("Note") or "")

    @property
    def locked(self) -> bool:
        """Whether it is committed: to be read and built upon, and not to be changed."""
        return self.document.get("Locked") is True

    @property
    def parents(self) -> list[Node]:
        """The versions it builds on."""
        return [self.repo.node_of_version(version) for version in self.document.get("Parents") or []]

    @property
    def children(self) -> list[Node]:
        """The versions that build on it."""
        return [self.repo.node_of_version(version) for version in self.document.get("Children") or []]

    def write_note(self, note: str) -> None:
        """Says something else of it."""
        self._tell("note", f"writing the note of {self}", {"note": note})
        self.refresh()

    # ---- versions -----------------------------------------------------------------------------

    def commit(self, note: str = "", log: str | Iterable[str] = ()) -> Node:
        """Locks it: from then on it can be read and built upon, and not changed."""
        self._tell("commit", f"committing {self}", {"note": note, "log": as_lines(log)})
        return self.refresh()

    def new_version(self, note: str = "", uuid: str | None = None) -> Node:
        """Makes the next version of the same branch; this one must be committed."""
        return self._child("newversion", {"note": note, **({"uuid": uuid} if uuid else {})})

    def branch(self, name: str, note: str = "", uuid: str | None = None) -> Node:
        """Makes the first version of a new branch; this one must be committed."""
        return self._child("branch", {"branch": name, "note": note, **({"uuid": uuid} if uuid else {})})

    def _child(self, kind: str, document: dict[str, Any]) -> Node:
        answer = self._tell(kind, f"making a version after {self}", document)
        return self.repo.refresh().node(answer["child"])

    def tag(self, name: str, note: str = "") -> Node:
        """Gives it a name, where it is committed: that of a committed child with the same data, whose UUID the name is."""
        self._tell("tag", f"naming {self} {name!r}", {"tag": name, "note": note})
        return self.repo.refresh().node(name)

    # ---- data instances -----------------------------------------------------------------------

    def create(self, typename: str, name: str, **settings: Any) -> Any:
        """Makes a data instance.

        Args:
            typename: its type, such as ``uint8blk``, ``labelmap``, ``keyvalue``, ``annotation``.
            name: its name.
            settings: of the type, such as ``BlockSize="32,32,32"`` or ``versioned=False``.

        Returns:
            The instance at this node, of the class for its type.
        """
        document = {"typename": typename, "dataname": name}
        document.update({key: _setting(value) for key, value in settings.items()})
        self.connection.tell(
            f"/api/repo/{quoted(self.uuid, 'uuid')}/instance", f"making the instance {name!r}", document=document
        )
        return self.refresh()[name]

    def create_volume(self, name: str, metainfo: MetaInfo) -> Any:
        """Makes a volume of images from its shape, type and axes; the instance at this node."""
        VolumeClient.create_volume(self.connection, self.uuid, name, metainfo)
        return self.refresh()[name]

    def __getitem__(self, name: str) -> Any:
        """A data instance at this version, of the class for its type."""
        document = self.repo.instance_documents.get(name)
        if document is None:
            document = self.refresh().repo.instance_documents.get(name)
        if document is None:
            known = ", ".join(self.repo.instance_names) or "none"
            raise BadArgument(f"repo {self.repo.alias!r} has no data instance {name!r}; it has {known}")
        return instance_at(self, document)

    def __iter__(self) -> Iterator[str]:
        return iter(self.repo.instance_names)

    def __contains__(self, name: object) -> bool:
        return name in self.repo.instance_documents

    @property
    def instances(self) -> dict[str, Instance]:
        """All data instances at this version, by name."""
        return {name: self[name] for name in self}

    # ---- showing ------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        return (
            (self.uuid, self.repo.server.url) == (other.uuid, other.repo.server.url)
            if isinstance(other, Node)
            else NotImplemented
        )

    def __hash__(self) -> int:
        return hash((self.uuid, self.repo.server.url))

    def __str__(self) -> str:
        return f"version {self.uuid[:8]} of repo {self.repo.alias!r}"

    def __repr__(self) -> str:
        state = "committed" if self.locked else "open"
        branch = self.branch_name or "master"
        return f"<Node {self.uuid[:8]} of repo {self.repo.alias!r}: {branch}, {state}{f', {self.note!r}' if self.note else ''}>"

    def _repr_html_(self) -> str:
        return html_fields(
            f"version {self.uuid}",
            {
                "repo": self.repo.alias,
                "branch": self.branch_name or "master",
                "state": "committed" if self.locked else "open",
                "note": self.note,
                "created (UTC)": self.created[:19],
                "updated (UTC)": self.updated[:19],
                "parents": ", ".join(parent.uuid[:8] for parent in self.parents),
                "children": ", ".join(child.uuid[:8] for child in self.children),
                "instances": ", ".join(self),
            },
        )

    def _tell(self, kind: str, what: str, document: dict[str, Any]) -> Any:
        return self.connection.tell(f"{self.path}/{kind}", what, document=document)


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)

"""The repositories and versions of an HDF5 file: the groups ``/datasets/NAME/nodes/UUID``, and what each keeps in its attribute.

A node's attribute ``dvid_node`` is a JSON object: ``Parents`` (UUIDs), ``Locked``, ``Branch``, ``Note``, ``Log``, ``Created``. A node
without it, as a file made by hand has, is a version without parents that is open for changes.
"""

from __future__ import annotations

import datetime
import json
import re
import uuid as uuids
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import h5py

from mockserver.h5errors import NotThere, Refused
from mockserver.h5volume import text_of

DATASETS, ALL_NODES = "datasets", "all_nodes"
NODE, REPO = "dvid_node", "dvid_repo"
# An attribute of an HDF5 file has at most 64 kB.
MOST_ATTRIBUTE = 60_000
LONGEST_NAME = 200
MASTER = ""


@dataclass(slots=True)
class Node:
    """A version."""

    uuid: str
    repo: str
    parents: list[str] = field(default_factory=list)
    locked: bool = False
    branch: str = MASTER
    note: str = ""
    log: list[str] = field(default_factory=list)
    created: str = ""
    children: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Where its group is."""
        return f"/{DATASETS}/{self.repo}/nodes/{self.uuid}"

    @property
    def is_open(self) -> bool:
        """Whether its data may be changed: what has children may not, as they show the data of their parent."""
        return not self.locked and not self.children


@dataclass(slots=True)
class Repo:
    """A dataset of the file: versions of the same volumes."""

    name: str
    alias: str = ""
    description: str = ""
    created: str = ""
    log: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)

    @property
    def root(self) -> Node:
        """The first version; of a file made by hand, the first of those without parents."""
        return self.nodes[0]


class Tree:
    """All repositories of a file.

    Args:
        file: the HDF5 file.

    Attributes:
        repos: by name, in order.
        nodes: by UUID.
        notes: what is left out, and why.
    """

    def __init__(self, file: h5py.File) -> None:
        self.repos: dict[str, Repo] = {}
        self.nodes: dict[str, Node] = {}
        self.notes: list[str] = []
        datasets = group_in(file, DATASETS)
        for name in datasets or ():
            group = group_in(datasets, name)
            nodes = None if group is None else group_in(group, "nodes")
            if group is None or nodes is None:
                self.notes.append(f"/{DATASETS}/{name} is left out: it has no group 'nodes'")
                continue
            told = _json(group, REPO)
            repo = Repo(name, _string(told, "Alias") or name, _string(told, "Description"), _string(told, "Created"))
            for uuid in nodes:
                if group_in(nodes, uuid) is None or uuid in self.nodes:
                    self.notes.append(f"{nodes.name}/{uuid} is left out: it is no group, or its UUID was there before")
                    continue
                self.nodes[uuid] = _node(nodes[uuid], uuid, name)
                repo.nodes.append(self.nodes[uuid])
            repo.log = _strings(told, "Log")
            if repo.nodes:
                self.repos[name] = repo
        self._connect()

    def find(self, text: str) -> Node:
        """The node with a UUID, or the only one that begins so; ``UUID:BRANCH`` is the newest of a branch.

        Raises:
            NotThere: there is none, or more than one.
        """
        # A file made by hand may have a ':' in a UUID.
        if (exact := self.nodes.get(text)) is not None:
            return exact
        start, colon, branch = text.partition(":")
        node = self.nodes.get(start)
        if node is None:
            found = [uuid for uuid in self.nodes if uuid.startswith(start)] if start else []
            if len(found) != 1:
                many = f", but {len(found)} that begin so" if found else ", nor one that begins so"
                raise NotThere(f"there is no node with UUID {start!r}{many}", 400)
            node = self.nodes[found[0]]
        if not colon:
            return node
        wanted = MASTER if branch == "master" else branch
        for candidate in reversed(self.repos[node.repo].nodes):
            here = candidate.branch == wanted
            if here and not any(self.nodes[child].branch == wanted for child in candidate.children):
                return candidate
        raise NotThere(f"repository {node.repo!r} has no branch {branch!r}", 400)

    def lineage(self, node: Node) -> Iterator[Node]:
        """The node, its parent, the parent of that..."""
        seen = set()
        while node.uuid not in seen:
            seen.add(node.uuid)
            yield node
            if not node.parents:
                return
            node = self.nodes[node.parents[0]]

    def _connect(self) -> None:
        for node in self.nodes.values():
            node.parents = [uuid for uuid in node.parents if uuid in self.nodes and self.nodes[uuid].repo == node.repo]
            for uuid in node.parents:
                self.nodes[uuid].children.append(node.uuid)
        for repo in self.repos.values():
            repo.nodes.sort(key=lambda node: (bool(node.parents), node.created))


def group_in(parent: h5py.Group, name: str) -> h5py.Group | None:
    """The group of a name, or None where there is none."""
    try:
        found = parent.get(name)
    except (KeyError, OSError, RuntimeError, ValueError):
        return None
    return found if isinstance(found, h5py.Group) else None


def add_repo(file: h5py.File, name: str, description: str = "", alias: str = "") -> None:
    """Makes the group of a repository.

    Raises:
        Refused: the name cannot be one.
    """
    group = file.require_group(DATASETS).create_group(checked_name(name, "dataset"), track_order=True)
    group.create_group("nodes", track_order=True)
    save_repo(file, Repo(name, alias, description, now()))


def save_repo(file: h5py.File, repo: Repo) -> None:
    """Writes the attribute of a repository.

    Raises:
        Refused: it is too long.
    """
    told = {"Alias": repo.alias, "Description": repo.description, "Created": repo.created, "Log": repo.log}
    _save(file[f"/{DATASETS}/{repo.name}"], REPO, told)


def add_node(file: h5py.File, node: Node) -> None:
    """Makes the group of a node, and its link in ``/all_nodes``.

    Raises:
        Refused: the UUID cannot be one, or is there already.
    """
    if ":" in checked_name(node.uuid, "uuid"):
        raise Refused(f"uuid: expected none with ':', which parts a UUID from a branch, got {node.uuid!r}")
    group = file[f"/{DATASETS}/{node.repo}/nodes"].create_group(node.uuid, track_order=True)
    file.require_group(ALL_NODES)[node.uuid] = group
    node.created = node.created or now()
    save_node(file, node)


def save_node(file: h5py.File, node: Node) -> None:
    """Writes the attribute of a node.

    Raises:
        Refused: it is too long.
    """
    told = asdict(node)
    keys = ("parents", "locked", "branch", "note", "log", "created")
    _save(file[node.path], NODE, {key.capitalize(): told[key] for key in keys})


def checked_name(name: str, what: str) -> str:
    """The name, where it can be that of something in an HDF5 file.

    Raises:
        Refused: it cannot.
    """
    bad = re.search(r"[/\x00-\x1f\x7f\ud800-\udfff]", name) if isinstance(name, str) else None
    if not isinstance(name, str) or bad or not 0 < len(name.encode("utf-8", "replace")) <= LONGEST_NAME:
        raise Refused(f"{what}: expected 1 to {LONGEST_NAME} bytes without '/' and control characters, got {name!r}")
    if name in (".", "..") or name.endswith("~"):
        raise Refused(f"{what}: names '.' and '..' and names that end with '~' cannot be, got {name!r}")
    return name


def new_uuid() -> str:
    """A UUID that no node has."""
    return uuids.uuid4().hex


def now() -> str:
    """The time, as texts that sort."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _save(group: h5py.Group, key: str, document: dict[str, Any]) -> None:
    text = json.dumps(document)
    if len(text) > MOST_ATTRIBUTE:
        raise Refused(f"an attribute of an HDF5 file has at most {MOST_ATTRIBUTE} bytes, this has {len(text)}", 413)
    group.attrs[key] = text


def _node(group: h5py.Group, uuid: str, repo: str) -> Node:
    told = _json(group, NODE)
    node = Node(
        uuid, repo, branch=_string(told, "Branch"), note=_string(told, "Note"), created=_string(told, "Created")
    )
    node.locked = told.get("Locked") is True
    node.parents, node.log = _strings(told, "Parents"), _strings(told, "Log")
    return node


def _json(group: h5py.Group, key: str) -> dict[str, Any]:
    try:
        found = json.loads(text_of(group.attrs[key])) if key in group.attrs else {}
    except (ValueError, TypeError, RecursionError, OSError):
        return {}
    return found if isinstance(found, dict) else {}


def _string(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _strings(document: dict[str, Any], key: str) -> list[str]:
    value = document.get(key)
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []

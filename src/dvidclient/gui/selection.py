"""What a user chose, and whether what a user typed can be the name of a new volume."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from dvidclient.gui.catalogue import NodeEntry, RepoEntry

Mode = Literal["select_existing", "specify_new"]

LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Selection:
    """A place on a server: as much of it as was chosen so far."""

    server_url: str
    repo_uuid: str
    """UUID of the root of the repo."""
    node_uuid: str | None = None
    name: str | None = None
    """Of a data instance, or of the volume that is to be made."""
    typename: str | None = None
    """Type of the data instance; None for one that is to be made."""


def selected(
    mode: Mode,
    server_url: str,
    repo: RepoEntry | None,
    node: NodeEntry | None,
    name: str | None,
) -> Selection | None:
    """The selection that a repo, a version and a name make.

    Args:
        mode: whether the name is one of an instance that the repo has, or of a new volume.
        server_url: of the server.
        repo: None while none is selected.
        node: None while none is selected.
        name: of an instance; in the other mode what was typed so far.
    """
    if repo is None:
        return None
    node_uuid = node.uuid if node else None
    if mode == "specify_new":
        return Selection(server_url, repo.uuid, node_uuid, (name or "").strip() or None)
    instance = repo.instance(name)
    if instance is None:
        return Selection(server_url, repo.uuid, node_uuid)
    return Selection(server_url, repo.uuid, node_uuid, instance.name, instance.typename)


def what_is_missing(mode: Mode, repo: RepoEntry | None, node: NodeEntry | None, name: str | None) -> str:
    """What still keeps a selection from being chosen, in words; empty where nothing does."""
    if repo is None:
        return "select a repository"
    if repo.fault:
        return f"this repository cannot be used: {repo.fault}"
    if node is None:
        return "select a version"
    if mode == "select_existing":
        return "" if repo.instance(name) is not None else "select a data instance"
    if node.why_closed:
        return f"this version is {node.why_closed}"
    return wrong_name(repo, name or "")


def wrong_name(repo: RepoEntry, name: str) -> str:
    """Why a text cannot be the name of a new volume of a repo; empty where it can."""
    name = name.strip()
    if not name:
        return "type a name for the new volume"
    if len(name) > LONGEST_NAME:
        return f"a name has at most {LONGEST_NAME} characters"
    if found := re.search(r"[^A-Za-z0-9_.-]", name):
        return f"a name has letters, digits, '_', '-' and '.', but no {found[0]!r}"
    if not name[0].isalnum():
        return f"a name begins with a letter or a digit, not with {name[0]!r}"
    if repo.instance(name) is not None:
        return f"this repository already has {name!r}"
    return ""

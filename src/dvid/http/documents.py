"""The JSON documents that describe repos, in the layout of the reference server.

They are made when something changed and kept until the repo's stamp changes: a repo with a thousand versions is
described in hundreds of kilobytes, and clients ask often.
"""

from __future__ import annotations

import threading
from typing import Any

import msgspec

from dvid.datatypes.base import describe
from dvid.storage.protocol import Snapshot
from dvid.versions import layout, repos
from dvid.versions.catalogue import Directory, branch_key, read_number
from dvid.versions.records import RepoRecord
from dvid.versions.view import FIRST_MUTATION, View

_encode = msgspec.json.Encoder().encode
_lock = threading.Lock()
_kept: dict[tuple[str, int], tuple[bytes, bytes]] = {}  # (root uuid, repo) -> stamp, document
_kept_all: list[tuple[bytes, bytes]] = []  # the newest: stamp of the store, document


def one_repo(snapshot: Snapshot, directory: Directory, number: int) -> bytes:
    """All about a repo, as JSON."""
    repo = directory.repo(snapshot, number)
    stored = snapshot.get(layout.REPO_STAMP + layout.pack_u32(number))
    stamp = b"" if stored is None else bytes(stored)
    kept = _kept.get((repo.root_uuid, number))
    if kept is None or kept[0] != stamp:
        kept = stamp, _encode(_describe_repo(snapshot, directory, repo))
        with _lock:
            if len(_kept) > 1000:
                _kept.clear()
            _kept[repo.root_uuid, number] = kept
    return kept[1]


def all_repos(snapshot: Snapshot, directory: Directory) -> bytes:
    """All about all repos, as JSON."""
    stored = snapshot.get(layout.STAMP)
    stamp = b"" if stored is None else bytes(stored)
    newest = _kept_all[0] if _kept_all else None
    if newest is None or newest[0] != stamp:
        parts = [
            f'"{repo.root_uuid}":'.encode() + one_repo(snapshot, directory, repo.number)
            for repo in repos.list_repos(snapshot)
        ]
        newest = stamp, b"{" + b",".join(parts) + b"}"
        _kept_all[:] = [newest]
    return newest[1]


def _describe_repo(snapshot: Snapshot, directory: Directory, repo: RepoRecord) -> dict[str, Any]:
    leaf = read_number(snapshot, branch_key(repo.number, "")) or repo.root_version
    node = directory.version(snapshot, leaf)
    nodes = list(repos.list_nodes(snapshot, repo))
    mutation = read_number(snapshot, layout.MUTATION + layout.pack_u32(repo.number))
    next_mutation = FIRST_MUTATION if mutation is None else mutation + 1
    return {
        "Root": repo.root_uuid,
        "Alias": repo.alias,
        "Description": repo.description,
        "Log": repos.read_log(snapshot, repo),
        "Properties": repo.properties,
        "DataInstances": {
            instance.name: describe(View(snapshot, directory, node, instance))
            for instance in repos.list_instances(snapshot, repo.number)
        },
        "DAG": {
            "Root": repo.root_uuid,
            "Nodes": {
                record.uuid: {
                    "Branch": record.branch,
                    "Note": record.note,
                    "Log": repos.read_log(snapshot, record),
                    "UUID": record.uuid,
                    "VersionID": record.version,
                    "Locked": record.locked,
                    "Parents": list(record.parents),
                    "Children": repos.children(snapshot, record.version),
                    "Created": record.created,
                    "Updated": record.updated,
                }
                for record in nodes
            },
        },
        "MutationID": next_mutation,
        "SavedMutationID": next_mutation,
        "Created": repo.created,
        "Updated": repo.updated,
    }

"""Repos: functions over a transaction that make, change and remove them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import msgspec

from dvid.errors import Forbidden
from dvid.storage.protocol import Snapshot, Transaction
from dvid.versions import layout
from dvid.versions.catalogue import touch
from dvid.versions.envelope import unseal
from dvid.versions.instances import delete_instance, list_instances
from dvid.versions.logs import append_log, delete_log
from dvid.versions.metadata import next_number, put_record
from dvid.versions.nodes import delete_nodes, new_root
from dvid.versions.records import RepoRecord, now


def create_repo(
    transaction: Transaction, *, alias: str = "", description: str = "", root: str | None = None, passcode: str = ""
) -> RepoRecord:
    """Make a repo with one open node, its root.

    Raises:
        BadRequest: `root` is not a UUID, or in use.
    """
    number = next_number(transaction, "repo")
    node = new_root(transaction, number, uuid=root)
    record = RepoRecord(
        number=number,
        root_version=node.version,
        root_uuid=node.uuid,
        created=node.created,
        updated=node.created,
        alias=alias,
        description=description,
        passcode_hash=_hashed(passcode),
    )
    put_record(transaction, layout.REPO + layout.pack_u32(number), record)
    touch(transaction, number)
    return record


def list_repos(snapshot: Snapshot) -> list[RepoRecord]:
    """All repos, oldest first."""
    entries = snapshot.scan(layout.REPO, layout.after(layout.REPO))
    return [msgspec.msgpack.decode(unseal(bytes(key), value).payload, type=RepoRecord) for key, value in entries]


def change_repo(
    transaction: Transaction, repo: RepoRecord, *, alias: str | None = None, description: str | None = None
) -> None:
    """Change what is said of a repo; None keeps what it was."""
    changed = msgspec.structs.replace(
        repo,
        alias=repo.alias if alias is None else alias,
        description=repo.description if description is None else description,
        updated=now(),
    )
    put_record(transaction, layout.REPO + layout.pack_u32(repo.number), changed)
    touch(transaction, repo.number)


def log_repo(transaction: Transaction, repo: RepoRecord, lines: Sequence[str]) -> None:
    """Append to the log of a repo."""
    append_log(transaction, repo, lines)
    touch(transaction, repo.number)


def delete_repo(transaction: Transaction, repo: RepoRecord, passcode: str) -> None:
    """Remove a repo with all its nodes and instances. Data is removed later, by `instances.sweep`.

    Raises:
        Forbidden: the repo was made with another passcode.
    """
    _check_passcode(repo, passcode)
    for instance in list_instances(transaction, repo.number):
        delete_instance(transaction, instance)
    delete_nodes(transaction, repo)
    delete_log(transaction, repo)
    number = layout.pack_u32(repo.number)
    for key in (layout.REPO, layout.MUTATION):
        transaction.delete(key + number)
    touch(transaction, repo.number)
    transaction.delete(layout.REPO_STAMP + number)


def _hashed(passcode: str) -> str:
    return hashlib.sha256(passcode.encode()).hexdigest() if passcode else ""


def _check_passcode(repo: RepoRecord, passcode: str) -> None:
    if repo.passcode_hash and not hmac.compare_digest(repo.passcode_hash, _hashed(passcode)):
        raise Forbidden(f"repo {repo.root_uuid} is guarded by a passcode, and the one given is not it")

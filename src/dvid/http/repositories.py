"""Requests to repos: /api/repo/{selector}/... and the parts of /api/repos that make them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dvid.errors import BadRequest
from dvid.http import documents
from dvid.http.calls import NodeRequest, Request
from dvid.routes import JSON, TEXT, Argument, Reply, Route, choice, json_reply
from dvid.storage.protocol import Transaction
from dvid.versions import instances, logs, nodes, repos
from dvid.versions.catalogue import Directory
from dvid.versions.records import InstanceRecord, RepoRecord
from dvid.versions.resolve import resolve


def text_field(body: dict[str, Any], name: str) -> str | None:
    """A field of a JSON body that is text, or None where it is absent.

    Raises:
        BadRequest: it is not text.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"{name!r}: text was expected, not {value!r}")
    return value


def text_list(body: dict[str, Any], name: str, *, required: bool = True) -> list[str]:
    """A field of a JSON body that is a list of texts.

    Raises:
        BadRequest: it is absent though required, or something else.
    """
    value = body.get(name, None if required else [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRequest(f"{name!r}: a list of texts was expected, not {value!r}")
    return value


def post_repos(call: Request) -> Reply:
    """Make a repo."""
    body = call.json_object()
    fields = {name: text_field(body, name) for name in ("alias", "description", "root", "passcode")}

    def make(transaction: Transaction, _: Directory) -> Reply:
        record = repos.create_repo(
            transaction,
            alias=fields["alias"] or "",
            description=fields["description"] or "",
            root=fields["root"] or None,
            passcode=fields["passcode"] or "",
        )
        return json_reply({"root": record.root_uuid})

    return call.transact(make)


def get_repos_info(call: Request) -> Reply:
    """Describe all repos."""
    with call.database.read_all() as (snapshots, directory):
        return Reply(documents.all_repos(snapshots, directory), JSON)


def head_repo(call: NodeRequest) -> Reply:
    """Tell whether there is such a repo."""
    with call.database.read() as (snapshot, directory):
        directory.node(snapshot, call.selector)
    return Reply(b"", TEXT)


def get_info(call: NodeRequest) -> Reply:
    """Describe a repo."""
    with call.database.read_all() as (snapshots, directory):
        number = directory.node(snapshots.metadata, call.selector).record.repo
        return Reply(documents.one_repo(snapshots, directory, number), JSON)


def post_info(call: NodeRequest) -> Reply:
    """Change alias and description."""
    body = call.json_object()
    alias, description = text_field(body, "alias"), text_field(body, "description")

    def change(transaction: Transaction, repo: RepoRecord) -> Reply:
        repos.change_repo(transaction, repo, alias=alias, description=description)
        return Reply(b"", TEXT)

    return _on_repo(call, change)


def post_instance(call: NodeRequest) -> Reply:
    """Make a data instance."""
    given, keep = call.json_object(), call.keeper()

    def reply(transaction: Transaction, made: InstanceRecord) -> Reply:
        said = f"made {made.typename} instance {made.name} at node {made.created_uuid}"
        return keep(transaction, json_reply({"result": said}))

    return call.database.create_instance(call.selector, given, then=reply)


def post_rename(call: NodeRequest, name: str) -> Reply:
    """Rename an instance."""
    to = text_field(call.json_object(), "name")
    if not to:
        raise BadRequest('the new name is needed, like {"name": "grayscale"}')

    def rename(transaction: Transaction, directory: Directory) -> Reply:
        repo = directory.node(transaction, call.selector).record.repo
        instances.rename_instance(transaction, directory.instance(transaction, repo, name), to)
        return json_reply({"name": to})

    return call.transact(rename)


def delete_instance(call: NodeRequest, name: str, imsure: str) -> Reply:
    """Delete an instance."""

    def delete(transaction: Transaction, directory: Directory) -> Reply:
        repo = directory.node(transaction, call.selector).record.repo
        instances.delete_instance(transaction, directory.instance(transaction, repo, name))
        return json_reply({"deleted": name})

    return call.transact(delete)


def delete_repo(call: NodeRequest, imsure: str, passcode: str) -> Reply:
    """Delete a repo."""

    def delete(transaction: Transaction, repo: RepoRecord) -> Reply:
        repos.delete_repo(transaction, repo, passcode)
        return json_reply({"deleted": call.selector})

    return _on_repo(call, delete)


def get_log(call: NodeRequest) -> Reply:
    """Answer the repo's log."""
    with call.database.read() as (snapshot, directory):
        repo = directory.repo(snapshot, directory.node(snapshot, call.selector).record.repo)
        return json_reply({"log": logs.read_log(snapshot, repo)})


def post_log(call: NodeRequest) -> Reply:
    """Append to the repo's log."""
    lines = text_list(call.json_object(), "log")

    def append(transaction: Transaction, repo: RepoRecord) -> Reply:
        repos.log_repo(transaction, repo, lines)
        return Reply(b"", TEXT)

    return _on_repo(call, append)


def get_branch_versions(call: NodeRequest, branch: str) -> Reply:
    """Answer the nodes of a branch."""
    with call.database.read() as (snapshot, directory):
        repo = directory.node(snapshot, call.selector).record.repo
        return json_reply([node.uuid for node in nodes.branch_versions(snapshot, repo, branch)])


def post_merge(call: NodeRequest) -> Reply:
    """Merge nodes."""
    body = call.json_object()
    if body.get("mergeType") != "conflict-free":
        raise BadRequest(f'"mergeType" must be "conflict-free", not {body.get("mergeType")!r}')
    parents, note = text_list(body, "parents"), text_field(body, "note") or ""

    def merge(transaction: Transaction, directory: Directory) -> Reply:
        merged = [directory.node(transaction, parent).record for parent in parents]
        return json_reply({"child": nodes.merge(transaction, directory.lineages, merged, note=note).uuid})

    return call.transact(merge)


def post_resolve(call: NodeRequest) -> Reply:
    """Merge nodes that disagree."""
    body = call.json_object()
    names, parents = text_list(body, "data"), text_list(body, "parents")
    note = text_field(body, "note") or ""

    def merge(transaction: Transaction, directory: Directory) -> Reply:
        repo = directory.node(transaction, call.selector).record.repo
        resolved = [directory.instance(transaction, repo, name) for name in dict.fromkeys(names)]
        merged = [directory.node(transaction, parent).record for parent in parents]
        if any(node.repo != repo for node in merged):
            raise BadRequest("the parents of a merge must be nodes of the repo")
        made = resolve(transaction, directory, merged, resolved, note=note, user=call.user, app=call.app)
        return json_reply({"child": made.uuid})

    return call.transact(merge)


def _on_repo(call: NodeRequest, operation: Callable[[Transaction, RepoRecord], Reply]) -> Reply:
    def run(transaction: Transaction, directory: Directory) -> Reply:
        repo = directory.repo(transaction, directory.node(transaction, call.selector).record.repo)
        return operation(transaction, repo)

    return call.transact(run)


_NAME = Argument("name", "Name of the data instance.", example="grayscale")
_IMSURE = Argument("imsure", "Must be true, since this removes data for good.", choice("true"))

ROUTES = (
    Route("HEAD", "/", head_repo, "Tell whether there is a repo with such a node: 200, else 400.", answers=TEXT),
    Route(
        "DELETE",
        "/",
        delete_repo,
        "Delete a repo with all its versions and data.",
        options=(_IMSURE, Argument("passcode", "The passcode that guards the repo, if any.", default="")),
        answers=JSON,
        writes=True,
        admin=True,
    ),
    Route("GET", "/info", get_info, "Describe the repo: its versions, branches and data instances.", answers=JSON),
    Route(
        "POST",
        "/info",
        post_info,
        "Change the repo's alias or description.",
        body='A JSON object: {"alias": ..., "description": ...}; what is left out stays.',
        answers=TEXT,
        writes=True,
    ),
    Route(
        "POST",
        "/instance",
        post_instance,
        "Make a data instance, on an open node of the repo.",
        body='A JSON object: "typename" and "dataname"; optional "versioned", "Compression" (none, lz4, gzip, snappy, '
        'jpeg, with an optional :level), "Tags" ("name=value,name=value") and the settings of the type.',
        answers=JSON,
        writes=True,
    ),
    Route(
        "POST",
        "/instance/{name}/rename",
        post_rename,
        "Give a data instance another name.",
        arguments=(_NAME,),
        body='A JSON object: {"name": "the new name"}.',
        answers=JSON,
        writes=True,
        admin=True,
    ),
    Route(
        "DELETE",
        "/instance/{name}",
        delete_instance,
        "Delete a data instance with all versions of its data. It is gone at once; its room is freed in the background.",
        arguments=(_NAME,),
        options=(_IMSURE,),
        answers=JSON,
        writes=True,
        admin=True,
    ),
    Route("GET", "/log", get_log, "Answer the repo's log.", answers=JSON),
    Route(
        "POST",
        "/log",
        post_log,
        "Append lines to the repo's log.",
        body='A JSON object: {"log": ["line", "line"]}.',
        answers=TEXT,
        writes=True,
    ),
    Route(
        "GET",
        "/branch-versions/{branch}",
        get_branch_versions,
        "Answer the UUIDs of a branch as a JSON list, from its leaf back to the root. Empty for an unknown branch.",
        arguments=(Argument("branch", 'Name of the branch; "master" for the one without a name.', example="master"),),
        answers=JSON,
    ),
    Route(
        "POST",
        "/merge",
        post_merge,
        "Make an open node that descends from several committed ones. Where they hold different values of one key, "
        "reading that key is refused until it is written anew.",
        body='A JSON object: {"mergeType": "conflict-free", "parents": ["uuid", "uuid"], "note": "optional"}.',
        answers=JSON,
        writes=True,
    ),
    Route(
        "POST",
        "/resolve",
        post_resolve,
        "Make an open node that descends from several committed ones, and write there every key of the named data "
        "instances that the parents hold differently: as the first of them in the list has it.",
        body='A JSON object: {"data": ["name", "name"], "parents": ["uuid", "uuid"], "note": "optional"}; the parents '
        "in the order of their priority.",
        answers=JSON,
        writes=True,
    ),
)

"""Requests to nodes: /api/node/{selector}/... where no data instance is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dvid.errors import BadRequest
from dvid.http.calls import NodeRequest
from dvid.http.repositories import text_field, text_list
from dvid.routes import JSON, TEXT, Reply, Route, json_reply
from dvid.storage.protocol import Transaction
from dvid.versions import logs, nodes
from dvid.versions.catalogue import Directory
from dvid.versions.records import NodeRecord


def get_note(call: NodeRequest) -> Reply:
    """Answer the note."""
    with call.database.read() as (snapshot, directory):
        return json_reply({"note": directory.node(snapshot, call.selector).record.note})


def post_note(call: NodeRequest) -> Reply:
    """Replace the note."""
    note = text_field(call.json_object(), "note")
    if note is None:
        raise BadRequest('a note is needed: {"note": "..."}')

    def change(transaction: Transaction, node: NodeRecord) -> Reply:
        nodes.set_note(transaction, node, note, unlocked=call.caller.lifts_locks)
        return Reply(b"", TEXT)

    return _on_node(call, change)


def get_log(call: NodeRequest) -> Reply:
    """Answer the log."""
    with call.database.read() as (snapshot, directory):
        return json_reply({"log": logs.read_log(snapshot, directory.node(snapshot, call.selector).record)})


def post_log(call: NodeRequest) -> Reply:
    """Append to the log."""
    lines = text_list(call.json_object(), "log")

    def change(transaction: Transaction, node: NodeRecord) -> Reply:
        nodes.add_to_log(transaction, node, lines, unlocked=call.caller.lifts_locks)
        return Reply(b"", TEXT)

    return _on_node(call, change)


def get_status(call: NodeRequest) -> Reply:
    """Tell whether the node is committed."""
    with call.database.read() as (snapshot, directory):
        return json_reply({"Locked": directory.node(snapshot, call.selector).record.locked})


def post_commit(call: NodeRequest) -> Reply:
    """Commit the node."""
    body = call.json()
    if not isinstance(body, dict):
        raise BadRequest('a JSON object was expected: {"note": "...", "log": ["..."]}, or {}')
    note, lines = text_field(body, "note") or "", text_list(body, "log", required=False)
    keep = call.keeper()
    return call.database.commit(
        call.selector, note=note, log=lines, then=lambda tx, uuid: keep(tx, json_reply({"committed": uuid}))
    )


def post_newversion(call: NodeRequest) -> Reply:
    """Make a child on the same branch."""
    body = call.json_object()
    note, uuid = text_field(body, "note") or "", text_field(body, "uuid")
    return _child(call, lambda tx, node: nodes.new_version(tx, node, note=note, uuid=uuid or None))


def post_branch(call: NodeRequest) -> Reply:
    """Make a child on a new branch."""
    body = call.json_object()
    name, note, uuid = text_field(body, "branch") or "", text_field(body, "note") or "", text_field(body, "uuid")
    return _child(call, lambda tx, node: nodes.branch(tx, node, name=name, note=note, uuid=uuid or None))


def post_tag(call: NodeRequest) -> Reply:
    """Name the node."""
    body = call.json_object()
    name, _ = (
        text_field(body, "tag") or "",
        text_field(body, "note"),
    )  # a note is taken, and dropped as in the reference
    return _child(call, lambda tx, node: nodes.tag(tx, node, name=name))


def _child(call: NodeRequest, make: Callable[[Transaction, NodeRecord], NodeRecord]) -> Reply:
    return _on_node(call, lambda transaction, node: json_reply({"child": make(transaction, node).uuid}))


def _on_node(call: NodeRequest, operation: Callable[[Transaction, NodeRecord], Reply]) -> Reply:
    def run(transaction: Transaction, directory: Directory) -> Reply:
        return operation(transaction, directory.node(transaction, call.selector).record)

    return call.transact(run)


def _route(method: str, path: str, handler: Any, about: str, body: str = "", answers: str = JSON) -> Route:
    return Route(method, path, handler, about, body=body, answers=answers, writes=method == "POST")


ROUTES = (
    _route("GET", "/note", get_note, "Answer the node's note."),
    _route("POST", "/note", post_note, "Replace the node's note.", 'A JSON object: {"note": "..."}.', TEXT),
    _route("GET", "/log", get_log, "Answer the node's log."),
    _route(
        "POST", "/log", post_log, "Append lines to the node's log.", 'A JSON object: {"log": ["line", "line"]}.', TEXT
    ),
    _route("GET", "/status", get_status, "Tell whether the node is committed (locked)."),
    _route("GET", "/commit", get_status, "Tell whether the node is committed (locked)."),
    _route(
        "POST",
        "/commit",
        post_commit,
        "Commit the node: from then on it can be read and built upon, and not changed.",
        'A JSON object, which may be empty: {"note": "...", "log": ["line", "line"]}.',
    ),
    _route(
        "POST",
        "/newversion",
        post_newversion,
        "Make an open child of a committed node, on its branch.",
        'A JSON object, or nothing: {"note": "...", "uuid": "the UUID to use"}.',
    ),
    _route(
        "POST",
        "/branch",
        post_branch,
        "Make an open child of a committed node, the first of a new branch.",
        'A JSON object: {"branch": "name", "note": "...", "uuid": "the UUID to use"}; only the name is needed.',
    ),
    _route(
        "POST",
        "/tag",
        post_tag,
        "Give a committed node a name: a committed child whose UUID is the name.",
        'A JSON object: {"tag": "name", "note": "..."}; only the tag is needed.',
    ),
)

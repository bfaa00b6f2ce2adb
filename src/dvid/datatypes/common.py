"""What every data instance answers, whatever its type."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from dvid.datatypes.base import datatype, describe
from dvid.datatypes.help import datatype_help
from dvid.errors import BadRequest, NotFound
from dvid.routes import JSON, OCTETS, TEXT, Argument, Call, Reply, Route, choice, flag, json_reply, text_reply
from dvid.storage.protocol import Transaction
from dvid.versions import instances
from dvid.versions.records import InstanceRecord

_REFERENCE = Argument("reference", "What POST .../blobstore answered.", example="bkqvUZHnc7rqMXOEC7vpyA==")
_BLOB = re.compile(r"[\w-]{22}==", re.ASCII)


def get_info(call: Call) -> Reply:
    """Describe the instance."""
    with call.view() as view:
        return json_reply(describe(view))


def get_help(call: Call) -> Reply:
    """Explain the routes of the instance's type."""
    with call.view() as view:
        return text_reply(datatype_help(datatype(view.instance.typename), COMMON_ROUTES))


def get_tags(call: Call) -> Reply:
    """Answer the tags."""
    with call.view() as view:
        return json_reply({"Tags": view.instance.tags})


def post_tags(call: Call, replace: bool) -> Reply:
    """Add or replace tags."""
    tags = call.json()
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise BadRequest('tags are a JSON object of texts, like {"tag1": "anything", "tag2": "else"}')

    def change(transaction: Transaction, instance: InstanceRecord) -> Reply:
        made = dict(tags) if replace else {**(instance.tags or {}), **tags}
        instances.change_instance(transaction, instance, tags=made)
        return Reply(b"", TEXT)

    return call.configure(change)


def post_sync(call: Call, replace: bool) -> Reply:
    """Name the instances to keep in step with."""
    return sync_with(call, sync_names(call), replace)


def sync_names(call: Call) -> list[str]:
    """The instances that a request names to keep in step with.

    Raises:
        BadRequest: it names them otherwise than it should.
    """
    body = call.json()
    names = body.get("sync") if isinstance(body, dict) else None
    if not isinstance(names, str):
        raise BadRequest('a JSON object with names separated by commas was expected, like {"sync": "labels,bodies"}')
    return [name.strip() for name in names.split(",") if name.strip()]


def sync_with(call: Call, wanted: list[str], replace: bool) -> Reply:
    """Keep the instance in step with others."""

    def change(transaction: Transaction, instance: InstanceRecord) -> Reply:
        instances.sync_instance(transaction, instance, wanted, replace=replace)
        return Reply(b"", TEXT)

    return call.configure(change)


def get_mutations(call: Call, userid: str | None) -> Reply:
    """Answer the mutation log of one version."""
    return Reply(event_list(call, None, _made_by(userid)), JSON)


def get_mutations_range(call: Call, begin: str, end: str, rangefmt: str, userid: str | None) -> Reply:
    """Answer the mutation log of a path of versions, newest version first, as the reference server does."""
    return Reply(event_list(call, path_back(call, begin, end), _made_by(userid)), JSON)


def path_back(call: Call, begin: str, end: str) -> list[str]:
    """The UUIDs of the nodes from `end` back to its ancestor `begin`.

    Raises:
        BadRequest: it is no ancestor.
    """
    with call.view() as view:
        first, last = view.at(begin).node, view.at(end).node
        path, node = [last.uuid], last
        while node.version != first.version:
            if not node.parents:
                raise BadRequest(f"node {first.uuid} is not an ancestor of node {last.uuid}")
            node = view.version(node.parents[0]).node
            path.append(node.uuid)
    return path


def event_list(call: Call, uuids: list[str] | None, wanted: Callable[[EventHead], bool] | None) -> Iterator[bytes]:
    """The events of versions as a JSON list, those that are wanted; of the node that the call is to, if none are named."""
    with call.view() as view:
        piece, separator = bytearray(b"["), b""
        for uuid in [None] if uuids is None else uuids:
            for event in (view if uuid is None else view.at(uuid)).events():
                if wanted is not None and not wanted(_head(event)):
                    continue
                piece += separator + event
                separator = b","
                if len(piece) > 1 << 18:
                    yield bytes(piece)
                    piece.clear()
        yield bytes(piece + b"]")


class EventHead(msgspec.Struct):
    """What is looked at of an event to see if it is wanted."""

    Action: str
    User: str | None = None


_head = msgspec.json.Decoder(EventHead).decode


def _made_by(user: str | None) -> Callable[[EventHead], bool] | None:
    return None if user is None else lambda event: event.User == user


def get_blob(call: Call, reference: str) -> Reply:
    """Answer a blob."""
    with call.view() as view:
        blob = view.blob(reference) if _BLOB.fullmatch(reference) else None
    if blob is None:
        raise NotFound(f"the blob store has nothing under {reference[:80]!r}")
    return Reply(blob, OCTETS)


def post_blob(call: Call) -> Reply:
    """Keep a blob."""
    content = call.body()
    return call.edit(lambda edit: json_reply({"reference": edit.put_blob(content)}))


_USER = Argument("userid", "Only what this user changed.", default=None)

COMMON_ROUTES = (
    Route("GET", "/info", get_info, "Describe the instance: its type, settings, extents and tags.", answers=JSON),
    Route("GET", "/help", get_help, "Explain the requests that the instance takes.", answers=TEXT),
    Route("GET", "/tags", get_tags, "Answer the instance's tags as a JSON object.", answers=JSON),
    Route(
        "POST",
        "/tags",
        post_tags,
        "Add tags to the instance.",
        options=(Argument("replace", "true: these tags replace all there were.", flag, default=False),),
        body='A JSON object of texts, like {"tag1": "anything", "tag2": "else"}.',
        answers=TEXT,
        writes=True,
        of_node=False,
    ),
    Route(
        "POST",
        "/sync",
        post_sync,
        "Name the instances of the repo that this one is kept in step with.",
        options=(Argument("replace", "true: these names replace all there were.", flag, default=False),),
        body='A JSON object with names separated by commas, like {"sync": "segmentation,synapses"}.',
        answers=TEXT,
        writes=True,
        of_node=False,
    ),
    Route(
        "GET",
        "/mutations",
        get_mutations,
        "Answer what was changed at this version: a JSON list, oldest first.",
        options=(_USER,),
        answers=JSON,
    ),
    Route(
        "GET",
        "/mutations-range/{begin}/{end}",
        get_mutations_range,
        "Answer what was changed at each version from one node to one of its descendants: a JSON list, the last "
        "version first, within a version the oldest change first.",
        arguments=(
            Argument("begin", "The ancestor: a UUID or another name of a node."),
            Argument("end", "The descendant."),
        ),
        options=(Argument("rangefmt", "How the range is given: uuid.", choice("", "uuid"), default=""), _USER),
        answers=JSON,
    ),
    Route("GET", "/blobstore/{reference}", get_blob, "Answer a blob of the instance.", arguments=(_REFERENCE,)),
    Route(
        "POST",
        "/blobstore",
        post_blob,
        'Keep a blob with the instance. The answer {"reference": ...} depends on the content alone.',
        body="Any bytes.",
        answers=JSON,
        writes=True,
        of_node=False,
    ),
)

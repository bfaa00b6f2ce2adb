"""Requests about the server itself: /api/server/..., /api/repos, /api/heartbeat and the like."""

from __future__ import annotations

import os
import platform
import resource
from datetime import UTC, datetime, timedelta
from typing import Any

from dvid.datatypes.base import datatype, datatypes
from dvid.datatypes.common import COMMON_ROUTES
from dvid.datatypes.help import datatype_help, route_help
from dvid.errors import BadRequest, NotFound
from dvid.http.about import REFERENCE_VERSION, software_version
from dvid.http.calls import Request
from dvid.http.metrics import get_latencies, get_load
from dvid.http.repositories import get_repos_info, post_repos
from dvid.routes import JSON, OCTETS, TEXT, Argument, Reply, Route, json_reply, text_reply
from dvid.versions import instances, layout, repos
from dvid.versions.envelope import unseal


def get_heartbeat(call: Request) -> Reply:
    """Say that the server is there."""
    return text_reply("OK")


def get_info(call: Request) -> Reply:
    """Describe the server, with the reference server's names."""
    now, started = datetime.now(UTC), datetime.fromtimestamp(call.board.started, UTC)
    server = call.config.server
    info = {
        "Cores": str(len(os.sched_getaffinity(0))),
        "Maximum Cores": str(os.cpu_count()),
        "DVID Version": f"{REFERENCE_VERSION} (dvid {software_version()}, Python {platform.python_version()})",
        "Datastore Version": "1.0",
        "Storage backend": ", ".join(sorted({store.engine for store in call.config.stores})),
        "Server time": now.isoformat(timespec="seconds"),
        "Server uptime": str(timedelta(seconds=int((now - started).total_seconds()))),
        "RPC Address": "",
        "Host": server.host,
        "Note": server.note,
        "TOML location": os.path.basename(call.config.file or ""),
        "Max Open Files": str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        "Workers": str(server.workers),
    }
    if server.read_only:
        info["Mode"] = "read only"
    return json_reply(info)


def get_note(call: Request) -> Reply:
    """Answer the server's note."""
    return text_reply(call.config.server.note)


def get_config(call: Request) -> Reply:
    """Answer the settings in force."""
    return text_reply(call.config.to_toml())


def get_compiled_types(call: Request) -> Reply:
    """Name all types."""
    return json_reply({name: f"dvid/datatypes/{name}" for name in datatypes()})


def get_types(call: Request) -> Reply:
    """Name the types in use."""
    with call.database.read() as (snapshot, _):
        used = {
            one.typename
            for repo in repos.list_repos(snapshot)
            for one in instances.list_instances(snapshot, repo.number)
        }
    return json_reply({name: f"dvid/datatypes/{name}" for name in sorted(used)})


def get_groupcache(call: Request) -> Reply:
    """Tell about the cache across servers, which there is not."""
    return json_reply({})


def get_blob(call: Request, reference: str) -> Reply:
    """Answer a blob of the server's blob store."""
    with call.database.read() as (snapshot, _):
        key = layout.BLOB + reference.encode()
        stored = snapshot.get(key) if len(key) < 200 else None
        if stored is None:
            raise NotFound(f"the blob store has nothing under {reference[:80]!r}")
        return Reply(bytes(unseal(key, stored).payload), OCTETS)


def get_storage(call: Request) -> Reply:
    """Tell what the stores take."""
    found = {}
    for store in call.config.stores:
        size = call.database.others.get(store.name, call.database.store).size()
        found[store.name] = {
            "engine": store.engine,
            "path": store.path,
            "durability": store.durability,
            "used bytes": size.used,
            "file bytes": size.file,
            "entries": size.entries,
            "max bytes": store.max_size,
        }
    return json_reply(found)


def post_settings(call: Request) -> Reply:
    """Change settings of the running server."""
    body = call.json_object()
    lines = []
    for name, value in body.items():
        number = _number(name, value)
        if name == "throttle":
            old, call.board.places = call.board.places, number
            lines.append(f"heavy requests that may run at the same time: {number} (was {old})")
        elif name == "gc":
            lines.append("gc is not a setting of this server: nothing was changed")
        else:
            raise BadRequest(f"unknown setting {name[:80]!r}: throttle and gc are known")
    return text_reply("".join(f"{line}\n" for line in lines))


def _number(name: str, value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 8:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100_000:
        raise BadRequest(f"{name}: a whole number from 1 to 100000 was expected, not {str(value)[:80]!r}")
    return value


def post_reload(call: Request) -> Reply:
    """Answer a request that this server has no use for."""
    return text_reply("there is nothing to load again: users and addresses are not kept by this server\n")


def get_help(call: Request) -> Reply:
    """Explain all requests."""
    from dvid.http import nodes, repositories

    lines = [f"dvid {software_version()}, host {call.config.server.host}", "", "Requests below /api:", ""]
    for title, routes in (
        ("", ROUTES),
        ("Requests below /api/repo/{node}:", repositories.ROUTES),
        ("Requests below /api/node/{node}:", nodes.ROUTES),
    ):
        lines += [title, ""] if title else []
        for route in routes:
            lines += route_help(route)
    lines += ["Types of data; GET /api/help/{type} explains their requests:", ""]
    lines += [f"  {name:<16}{kind.about}" for name, kind in datatypes().items()]
    return text_reply("\n".join([*lines, ""]))


def get_type_help(call: Request, typename: str) -> Reply:
    """Explain the requests of a type."""
    return text_reply(datatype_help(datatype(typename), COMMON_ROUTES))


def get_openapi(call: Request) -> Reply:
    """Describe all requests as OpenAPI."""
    from dvid.http.openapi import document

    return json_reply(document())


def _route(path: str, handler: Any, about: str, answers: str = TEXT, *arguments: Argument, **more: Any) -> Route:
    return Route("GET", path, handler, about, arguments=arguments, answers=answers, **more)


def _action(path: str, handler: Any, about: str, body: str = "") -> Route:
    return Route("POST", path, handler, about, body=body, answers=TEXT, writes=False, admin=True)


ROUTES = (
    _route(
        "/heartbeat",
        get_heartbeat,
        "Tell that the server answers: OK. With u=NAME the latency is kept for /user-latencies.",
    ),
    _route(
        "/load",
        get_load,
        "Tell how busy the server was in the last whole second: requests, bytes, and heavy use in percent. The counts of keys and of CGo are always 0.",
        JSON,
    ),
    _route(
        "/user-latencies",
        get_latencies,
        "Tell how long the pings of users took (heartbeat, load and user-latencies with u=NAME), in milliseconds.",
        JSON,
        options=(Argument("u", "Only this user.", default=None),),
    ),
    _route("/help", get_help, "Explain all requests."),
    _route(
        "/help/{typename}",
        get_type_help,
        "Explain a type of data and its requests.",
        TEXT,
        Argument("typename", "A type of data.", example="uint8blk"),
    ),
    _route("/openapi.json", get_openapi, "Describe all requests as an OpenAPI 3.1 document.", JSON),
    _route("/storage", get_storage, "Tell what each store takes, in bytes.", JSON, admin=True),
    _route("/server/info", get_info, "Describe the server: versions, cores, time, note.", JSON),
    _route("/server/note", get_note, "Answer the server's note."),
    _route("/server/config", get_config, "Answer the settings in force, as TOML without secrets.", admin=True),
    _route("/server/types", get_types, "Name the types of data in use.", JSON),
    _route("/server/compiled-types", get_compiled_types, "Name all types of data.", JSON),
    _route("/server/groupcache", get_groupcache, "Tell about a cache across servers. This server has none: {}.", JSON),
    _route(
        "/server/blobstore/{reference}",
        get_blob,
        "Answer a blob of the server's blob store.",
        OCTETS,
        Argument("reference", "What POST .../blobstore answered."),
    ),
    _action(
        "/server/settings",
        post_settings,
        "Change settings of the running server, in all its worker processes, until it is started anew.",
        'A JSON object: {"throttle": 4} sets how many heavy requests run at the same time. "gc" is accepted without '
        "effect. Numbers may be given as texts.",
    ),
    _action("/server/reload-auth", post_reload, "Does nothing: this server keeps no list of users."),
    _action("/server/reload-blocklist", post_reload, "Does nothing: this server keeps no list of refused addresses."),
    Route("GET", "/repos/info", get_repos_info, "Describe all repos: their versions and data instances.", answers=JSON),
    Route(
        "POST",
        "/repos",
        post_repos,
        "Make a repo with one open node, its root.",
        body='A JSON object, which may be empty: {"alias": ..., "description": ..., "root": "the UUID to use", "passcode": ...}.',
        answers=JSON,
        writes=True,
        admin=True,
    ),
)

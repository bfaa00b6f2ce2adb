"""docs/http-api.md, from the declarations of the routes: `python -m dvid.http.reference > docs/http-api.md`."""

from __future__ import annotations

from collections.abc import Iterator

from dvid.datatypes.base import datatypes
from dvid.http.openapi import Section, sections
from dvid.routes import REQUIRED, Argument, Route

_HEAD = """# HTTP API

This page is generated from the declarations of the routes: `python -m dvid.http.reference > docs/http-api.md`.
A running server tells the same: `GET /api/help`, `GET /api/help/{type}`, and as OpenAPI 3.1, `GET /api/openapi.json`.

It is the API of DVID, Janelia's data service, whose clients work unchanged.

## What holds for all requests

- **Nodes** are named by their UUID, by the beginning of one if no other begins so, by a tag, or as `UUID:branch`.
- **Coordinates** in paths are x, y, z, with `_` between them.
- **Errors** are one line of text: 400 the request cannot be understood, or its node, instance or state does not allow
  it; 403 no right to do so; 404 no such thing; 405 not with this method; 408 its body stopped coming; 409 it contradicts what
  is stored; 411 a body without Content-Length; 413 over a limit, which the text names; 416 a range outside of the value; 422 the
  `Idempotency-Key` of another request; 501 a type of data that is not served yet; 503 too much is running, or it took
  too long; 507 the store is full. A write that is answered with an error has left no trace.
- **HEAD** answers what GET would, without the body; **OPTIONS** tells the methods, and what web pages may send.
- **`u=NAME`** and **`app=NAME`** say who asks with which program. They are kept with what is changed, and in the access log.
- **Bodies** need a `Content-Length` (411 otherwise); JSON documents, and plain voxels, whose number the box tells, may come in chunks.
- **`Idempotency-Key`**: where it says so below, a request may carry this header, 1 to 255 visible ASCII characters that its client
  takes for no other request (400 if they are not, 422 if another request had them). It can then be sent again, as often as needed: the
  first that succeeds takes effect, and every further one gets its answer, with the header `Idempotent-Replayed: true`. So it is after a lost
  connection, a crash of the server, or when two arrive at once; also if the node was committed meanwhile. The same request has
  the same method, path, options and body. A request that was refused left nothing, and its key can be used again. Answers are kept
  for `server.idempotencyHours`. Requests that change nothing have no use for the header.
- **Compression**: text and JSON of more than 1 KiB is sent gzipped where `Accept-Encoding` takes it; voxels and values never.
- **ETag**: where it says so below, what was read at a committed node has an `ETag`, and `If-None-Match` is answered
  with 304 before anything is read.
- **`throttle=true`** (or `on`): where it says so below, the request is refused with 503 when as many such requests run as
  `limits.heavyRequests` allows, in all processes of the server together.
- **Limits** are settings: see [configuration.md](configuration.md).

### Rights

Requests marked *admin* need the token in `DVID_ADMIN_TOKEN` of the server's environment, as `Authorization: Bearer TOKEN` or
`?admintoken=TOKEN`; with it, committed nodes can be changed, too. A server without a token grants admin rights only if it listens on loopback,
and only to requests from the same machine that did not come through a proxy. A wrong token is an error only where rights are needed.

A browser sends requests for any page that is open, also to servers on the user's own machine. Therefore

- a request that changes something is refused (403) if its `Origin` is neither the server itself nor named in `server.corsDomains`;
  `"*"` there lets pages of all origins read, and names none;
- a server on loopback without a token also refuses it if `Host` is not `localhost`, `127.0.0.1`, `[::1]` or the address it
  listens at, with its port: a page whose name was made to resolve to the user's own machine (DNS rebinding) is told by that.
  For a proxy under another name, put that name into `server.corsDomains`, or give the server a token.

Pages of other origins may read answers only as `server.corsDomains` says, and by default none may: otherwise any web page could read
what a server on the user's machine holds. For Neuroglancer at another address, name it,
`corsDomains = ["https://neuroglancer-demo.appspot.com"]`, or allow all with `corsDomains = ["*"]`; then every answer, errors
included, carries `Access-Control-Allow-Origin`.

### Counters

`GET /metrics` answers counters in the text format of Prometheus: requests by method, area and status, their durations and bytes, what runs, what
the store takes. They cover all worker processes.
"""


def page() -> str:
    """The page, as Markdown."""
    lines = [_HEAD]
    for section in sections():
        lines += _section(section)
    kept = [name for name, kind in datatypes().items() if not kind.routes]
    if kept:
        lines += [
            "## Other types",
            "",
            f"Instances of these types take only what data of any type takes: {', '.join(kept)}.",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _section(section: Section) -> Iterator[str]:
    yield from (f"## {section.title}", "", section.about, "", f"Paths begin with `{section.prefix}`.", "")
    names = section.title.split(", ")
    settings = {
        name: about
        for typename in names
        if typename in datatypes()
        for name, about in datatypes()[typename].settings_about.items()
    }
    if settings:
        yield from ("Settings of a new instance (names in any case):", "", "| Setting | Meaning |", "| --- | --- |")
        yield from (f"| `{name}` | {_cell(about)} |" for name, about in settings.items())
        yield ""
    for route in section.routes:
        yield from _route(route)


def _route(route: Route) -> Iterator[str]:
    marks = [
        *(["admin"] if route.admin else []),
        *(["Idempotency-Key"] if route.writes else []),
        *(["throttle"] if route.throttled else []),
        *(["ETag"] if route.immutable else []),
    ]
    yield f"### `{route.method} {route.shown}`"
    yield ""
    if marks:
        yield from (f"*{', '.join(marks)}*", "")
    yield from (route.about, "")
    if route.body:
        yield from (f"Body: {route.body}", "")
    if route.arguments or route.options:
        yield from ("| Argument | Meaning | Default |", "| --- | --- | --- |")
        yield from (_row(argument, "") for argument in route.arguments)
        yield from (_row(option, "?") for option in route.options)
        yield ""
    if route.answers:
        yield from (f"Answers `{route.answers}`.", "")


def _row(argument: Argument, mark: str) -> str:
    default = "" if argument.default is REQUIRED or argument.default in (None, "") else f"`{argument.default}`"
    example = f" Example: `{argument.example}`." if argument.example else ""
    return f"| `{mark}{argument.name}` | {_cell(argument.about)}{_cell(example)} | {_cell(default)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    print(page(), end="")

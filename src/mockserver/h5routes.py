"""The routes of the server: today's DVID HTTP API, and that of 2013."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any

import falcon

from mockserver.h5answers import Answers, say
from mockserver.h5cutouts import Cutouts
from mockserver.h5datafile import DataFile
from mockserver.h5errors import NotThere, Refused
from mockserver.h5keyvalues import KeyValues
from mockserver.h5requests import MOST_REQUEST_BYTES
from mockserver.h5versions import Versions

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

# Who answers a route, and the name of the method: on_get_NAME, on_post_NAME, on_delete_NAME.
ROUTES: dict[str, tuple[type[Answers], str]] = {
    "/api/server/info": (Versions, "server_info"),
    "/api/server/types": (Versions, "types"),
    "/api/server/compiled-types": (Versions, "types"),
    "/api/help": (Versions, "help_all"),
    "/api/help/{typename}": (Versions, "help"),
    "/api/repos": (Versions, "repos"),
    "/api/repos/info": (Versions, "repos_info"),
    "/api/repo/{uuid}/info": (Versions, "repo_info"),
    "/api/repo/{uuid}/log": (Versions, "repo_log"),
    "/api/repo/{uuid}/instance": (Versions, "new_instance"),
    "/api/node/{uuid}/commit": (Versions, "commit"),
    "/api/node/{uuid}/newversion": (Versions, "newversion"),
    "/api/node/{uuid}/branch": (Versions, "branch"),
    "/api/node/{uuid}/status": (Versions, "status"),
    "/api/node/{uuid}/note": (Versions, "note"),
    "/api/node/{uuid}/log": (Versions, "log"),
    "/api/node/{uuid}/{name}/info": (Cutouts, "instance_info"),
    "/api/node/{uuid}/{name}/metadata": (Cutouts, "metadata"),
    "/api/node/{uuid}/{name}/schema": (Cutouts, "metadata"),
    "/api/node/{uuid}/{name}/help": (Cutouts, "help_of"),
    "/api/node/{uuid}/{name}/tags": (Cutouts, "tags"),
    "/api/node/{uuid}/{name}/resolution": (Cutouts, "resolution"),
    "/api/node/{uuid}/{name}/extents": (Cutouts, "extents"),
    "/api/node/{uuid}/{name}/raw/{dims}/{size}/{offset}": (Cutouts, "raw"),
    "/api/node/{uuid}/{name}/raw/{dims}/{size}/{offset}/{form}": (Cutouts, "raw"),
    "/api/node/{uuid}/{name}/keys": (KeyValues, "keys"),
    "/api/node/{uuid}/{name}/keyvalues": (KeyValues, "keyvalues"),
    "/api/node/{uuid}/{name}/keyrange/{key}/{last}": (KeyValues, "keyrange"),
    "/api/node/{uuid}/{name}/keyrangevalues/{key}/{last}": (KeyValues, "keyrangevalues"),
    "/api/node/{uuid}/{name}/key/{key}": (KeyValues, "key"),
    "/api/datasets/info": (Versions, "datasets_info"),
    "/api/datasets/list": (Versions, "datasets_list"),
    "/api/dataset/{uuid}/new/{typename}/{name}": (Versions, "new_early"),
    # The names of these are alike because a router has one name for one place of a path.
    "/api/node/{uuid}/{name}/{first}": (KeyValues, "early_key"),
    "/api/node/{uuid}/{name}/{first}/{size}/{offset}": (Cutouts, "early_raw"),
    "/api/node/{uuid}/{name}/{first}/{size}/{offset}/{form}": (Cutouts, "early_raw"),
}


def application(data: DataFile, most_bytes: int = MOST_REQUEST_BYTES) -> Wsgi:
    """The server of a file, as a WSGI application.

    Args:
        data: the file.
        most_bytes: the most bytes of voxels or of a value in one request or answer.
    """
    app = falcon.App(middleware=[_WebPages()])
    app.req_options.keep_blank_qs_values = True
    answers = {kind: kind(data, most_bytes, list(ROUTES)) for kind, _ in ROUTES.values()}
    for path, (kind, name) in ROUTES.items():
        app.add_route(path, answers[kind], suffix=name)
    app.add_sink(_nothing)
    app.add_error_handler(Refused, _refused)
    app.add_error_handler(falcon.HTTPError, _http_error)
    app.add_error_handler(Exception, _failed)

    def with_whole_segments(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        # A '/' that is part of a key comes as %2F, which only the path as it was sent tells from one between segments.
        if uri := environ.get("REQUEST_URI"):
            path = uri.partition("?")[0].partition("#")[0]
            environ["PATH_INFO"] = urllib.parse.urlsplit(path).path if "://" in path else path
        if environ["REQUEST_METHOD"] != "HEAD":
            return app(environ, start_response)
        answer = app({**environ, "REQUEST_METHOD": "GET"}, start_response)
        if hasattr(answer, "close"):
            answer.close()
        return []

    return with_whole_segments


class _WebPages:
    """What pages of other servers may do, such as Neuroglancer: read all that is here, and change nothing."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        # Only browsers send it. This server has no pages of its own, so that any origin is another one.
        if req.method not in ("GET", "OPTIONS") and req.get_header("Origin") is not None:
            raise Refused("web pages may not change anything here, and the request has the header Origin", 403)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, req_succeeded: bool
    ) -> None:
        resp.set_header("Access-Control-Allow-Origin", "*")
        if req.method == "OPTIONS":
            resp.set_header("Access-Control-Allow-Methods", resp.get_header("Allow") or "GET")
            resp.set_header("Access-Control-Allow-Headers", "*")


def _nothing(req: falcon.Request, resp: falcon.Response, **parts: Any) -> None:
    raise NotThere(f"there is no path {req.path!r} here")


def _refused(req: falcon.Request, resp: falcon.Response, error: Refused, params: dict[str, Any]) -> None:
    say(resp, f"{error}\n", error.status)


def _http_error(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: dict[str, Any]) -> None:
    for key, value in dict(error.headers or {}).items():
        resp.set_header(key, value)
    say(resp, f"{error.description or error.title}\n", error.status_code)


def _failed(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
    req.log_error(f"{type(error).__name__}: {error}")
    say(resp, f"the server failed: {type(error).__name__}\n", 500)

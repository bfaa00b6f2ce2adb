"""The WSGI application: from a request to a reply."""

from __future__ import annotations

from typing import Any

import falcon

from dvid.config import Config
from dvid.database import Database
from dvid.errors import Forbidden
from dvid.http import instances, nodes, repositories, server
from dvid.http.access import Access
from dvid.http.calls import InstanceRequest, NodeRequest, Request
from dvid.http.replies import send, send_error
from dvid.http.routing import Table
from dvid.http.throttle import Throttle
from dvid.routes import Route


class Api:
    """Serves every request below /api."""

    def __init__(self, database: Database, config: Config) -> None:
        self._database, self._config = database, config
        self._access = Access(config)
        self._throttle = Throttle(config.limits.heavy_requests)
        self._server = Table(server.ROUTES, "the server")
        self._repos = Table(repositories.ROUTES, "a repo")
        self._nodes = Table(nodes.ROUTES, "a node")

    def __call__(self, req: falcon.Request, resp: falcon.Response, **kwargs: Any) -> None:
        """Answer one request."""
        request, response = req, resp
        call: Request
        path: str = request.path
        admin = self._access.check(request)
        parts = path.split("/", 5)  # "", "api", "node", selector, name, rest
        if len(parts) == 6 and parts[2] == "node" and parts[5]:
            self._serve_instance(request, response, parts[3], parts[4], "/" + parts[5], admin)
        elif len(parts) >= 4 and parts[2] in ("node", "repo"):
            table = self._nodes if parts[2] == "node" else self._repos
            rest = "/" + "/".join(parts[4:])
            call = NodeRequest(request, self._database, self._config, admin=admin, selector=parts[3])
            self._run(table, request, response, call, rest)
        else:
            call = Request(request, self._database, self._config, admin=admin)
            self._run(self._server, request, response, call, path[4:])

    def _run(self, table: Table, request: falcon.Request, response: falcon.Response, call: Request, path: str) -> None:
        match = table.match(request.method, path, request.params)
        self._admit(match.route, call)
        send(match.run(call), response)

    def _serve_instance(
        self, request: falcon.Request, response: falcon.Response, selector: str, name: str, rest: str, admin: bool
    ) -> None:
        call = InstanceRequest(request, self._database, self._config, admin=admin, selector=selector, name=name)
        with call.view() as view:
            typename, locked = view.instance.typename, view.instance.versioned and view.node.locked
        match = instances.match(typename, request.method, rest, request.params, locked=locked and not admin)
        self._admit(match.route, call)
        if match.route.throttled and request.get_param_as_bool("throttle"):
            with self._throttle:
                send(match.run(call), response)
        else:
            send(match.run(call), response)

    def _admit(self, route: Route, call: Request) -> None:
        if route.admin and not call.admin:
            raise Forbidden("this request needs admin rights: send the admin token as 'Authorization: Bearer TOKEN'")
        if route.writes and self._config.server.read_only:
            raise Forbidden("this server is read-only")


def create_app(database: Database, config: Config) -> falcon.App[falcon.Request, falcon.Response]:
    """The application that serves a database."""
    app = falcon.App(cors_enable=False)
    app.req_options.strip_url_path_trailing_slash = False
    app.req_options.keep_blank_qs_values = True
    app.req_options.auto_parse_qs_csv = False
    app.set_error_serializer(lambda *_: None)
    app.add_error_handler(Exception, send_error)
    app.add_sink(Api(database, config), r"/api/")
    return app

"""The WSGI application: from a request to an answer."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import falcon
from falcon.request import RequestOptions

from dvid.config import Config
from dvid.database import Database
from dvid.errors import BadRequest, DvidError, Forbidden, NotFound
from dvid.http import instances, metrics, nodes, repositories, server, validators
from dvid.http.access import Access, Caller, need_admin
from dvid.http.board import Board
from dvid.http.calls import EXCHANGE, InstanceRequest, NodeRequest, Request, Service, skip_body
from dvid.http.console import console_file
from dvid.http.gate import Gate
from dvid.http.journal import Journal
from dvid.http.replies import STATUS_LINES, Answer, Body, answer_of, error_answer
from dvid.http.retries import Attempt
from dvid.http.routing import Match, Table
from dvid.http.tally import Record
from dvid.http.throttle import HeavyRequest
from dvid.http.webclient import client_file
from dvid.routes import Reply, Route

R = TypeVar("R", bound=Request)
StartResponse = Callable[..., Any]
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_UNREADABLE = re.compile("[\x00-\x1f\x7f\ufffd]")  # U+FFFD stands where bytes were not UTF-8
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})


class Application:
    """Serves a database, as WSGI has it (PEP 3333)."""

    def __init__(self, service: Service, port: int = 0) -> None:
        self._service = service
        self._access = Access(service.config, port)
        self._gate = service.gate
        self._options = RequestOptions()
        self._options.keep_blank_qs_values = True
        self._options.auto_parse_qs_csv = False
        self._server = Table(server.ROUTES, "the server")
        self._repos = Table(repositories.ROUTES, "a repo")
        self._nodes = Table(nodes.ROUTES, "a node")

    @property
    def service(self) -> Service:
        """What its requests have in common."""
        return self._service

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        begin = time.perf_counter()
        visit = _Visit(environ["PATH_INFO"])
        exchange = environ[EXCHANGE] = self._gate.arrive(environ.get("REMOTE_ADDR", ""))
        self._gate.enter()
        body: Body | None = None
        try:
            answer = self._answer(environ, visit)
            if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
                self._skip_rest(environ, visit, answer)
            start_response(STATUS_LINES.get(answer.status, f"{answer.status} "), answer.headers)
            done = partial(self._record, environ, visit, begin, answer.status)
            if isinstance(answer.body, bytes):
                answer.close()
                done(len(answer.body), False)
                return [b"" if environ["REQUEST_METHOD"] == "HEAD" else answer.body]
            body = Body(answer, self._gate, done, partial(self._gate.depart, exchange))
        finally:
            if body is None:
                self._gate.depart(exchange)
                self._gate.leave()
        if environ["REQUEST_METHOD"] == "HEAD":
            body.close()
            return [b""]
        return body

    def _skip_rest(self, environ: dict[str, Any], visit: _Visit, answer: Answer) -> None:
        """Read what a handler has left of the request's body, or tell the client that the connection ends here.

        The HTTP server closes a connection with unread bytes after its answer, mostly without having said so: the
        client's next request would meet a closed connection, and a client that still sends would not see the answer.
        """
        received = 0 if visit.call is None else visit.call.received
        if not skip_body(environ, self._gate, received, self._service.config.limits.body_bytes):
            answer.headers.append(("connection", "close"))

    def _record(self, environ: dict[str, Any], visit: _Visit, begin: float, status: int, sent: int, cut: bool) -> None:
        seconds = time.perf_counter() - begin
        self._service.journal.add(
            Record(
                time.time() - seconds,
                seconds,
                environ["REQUEST_METHOD"][:20],
                visit.path[:500],
                visit.area,
                status,
                0 if visit.call is None else visit.call.received,
                sent,
                visit.user[:200],
                visit.app[:200],
                environ.get("REMOTE_ADDR", ""),
                cut,
            )
        )

    def _answer(self, environ: dict[str, Any], visit: _Visit) -> Answer:
        unfinished: list[Callable[[], None]] = []
        try:
            request = falcon.Request(environ, self._options)
            if request.method == "OPTIONS":
                answer = self._options_answer(request)
            else:
                reply = self._reply(request, visit, unfinished)
                deadline = float("inf") if visit.call is None else visit.call.deadline
                answer = answer_of(reply, environ, self._service.config.limits, deadline)
            answer.unfinished = unfinished
        except Exception as error:  # noqa: BLE001 - whatever it is, it gets an answer
            while unfinished:
                unfinished.pop()()
            answer = error_answer(error, environ)
        self._access.cors(environ, answer.headers)
        return answer

    def _options_answer(self, request: falcon.Request) -> Answer:
        headers = [("allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS")]
        self._access.preflight(request.env, headers)
        return Answer(204, headers)

    def _reply(self, request: falcon.Request, visit: _Visit, unfinished: list[Callable[[], None]]) -> Reply:
        path: str = request.path
        visit.path = path
        params = request.params
        visit.user, visit.app = _text(params.get("u")), _text(params.get("app"))
        if request.method not in _METHODS:
            raise BadRequest(f"the method {request.method[:20]!r} is not known here")
        if _UNREADABLE.search(path):
            _check_path(path, request.env["PATH_INFO"])
        caller = self._access.caller(request.env, params.get("admintoken"))
        key = request.env.get("HTTP_IDEMPOTENCY_KEY")
        if key is None or request.method in ("GET", "HEAD") or self._service.config.server.read_only:
            return self._dispatch(request, visit, caller, unfinished)
        return self._once(key, request, visit, caller, unfinished)

    def _once(
        self, key: str, request: falcon.Request, visit: _Visit, caller: Caller, unfinished: list[Callable[[], None]]
    ) -> Reply:
        """Do what is asked, or answer as the first time: see `dvid.http.retries`."""
        environ = request.env
        hours = self._service.config.server.idempotency_hours
        visit.attempt = Attempt(key, request.method, environ["PATH_INFO"], environ["QUERY_STRING"], hours)
        reply = self._replayed(visit.attempt, request, visit, caller)
        if reply is not None:
            return reply
        try:
            return self._dispatch(request, visit, caller, unfinished)
        except DvidError:
            reply = self._replayed(visit.attempt, request, visit, caller)
            if reply is None:
                raise
            return reply

    def _replayed(self, attempt: Attempt, request: falcon.Request, visit: _Visit, caller: Caller) -> Reply | None:
        """The reply that was kept of the same request; None if there is none."""
        kept = attempt.find(self._service.database)
        if kept is None:
            return None
        if caller.refused_writes:
            raise Forbidden(caller.refused_writes)
        if kept.admin:
            need_admin(caller)
        call = visit.call or visit.begin(Request(request, self._service, caller))
        call.read_rest()
        return attempt.replayed(kept)

    def _dispatch(
        self, request: falcon.Request, visit: _Visit, caller: Caller, unfinished: list[Callable[[], None]]
    ) -> Reply:
        path, params = visit.path, request.params
        parts = path.split("/", 5)  # "", "api", "node", selector, name, rest
        kind = parts[2] if len(parts) > 2 and parts[1] == "api" else ""
        if kind == "node" and len(parts) == 6 and parts[5]:
            return self._instance(request, visit, caller, parts[3], parts[4], "/" + parts[5], unfinished)
        if kind in ("node", "repo") and len(parts) > 3:
            visit.area = kind
            call = visit.begin(NodeRequest(request, self._service, caller, parts[3]))
            table = self._nodes if kind == "node" else self._repos
            rest = "/" + "/".join(parts[4:])
            try:
                match = table.match(request.method, rest, params, partial(self._admit, caller))
            except NotFound:
                if kind != "node" or len(parts) < 5 or request.method != "POST":
                    raise
                return self._instance(request, visit, caller, parts[3], parts[4], "/", unfinished)
            return self._run(match, call, unfinished)
        visit.area = "server"
        plain = visit.begin(Request(request, self._service, caller))
        if kind:
            admit = partial(self._admit, caller)
            return self._run(self._server.match(request.method, path[4:], params, admit), plain, unfinished)
        if path == "/metrics" and request.method in ("GET", "HEAD"):
            return metrics.get_metrics(plain)
        if request.method in ("GET", "HEAD") and not kind:
            settings = self._service.config.server
            if settings.web_client is not None:
                return client_file(settings, path)
            page = console_file(path, request.env.get("HTTP_IF_NONE_MATCH"))
            if page is not None:
                return page
        raise NotFound(f"there is nothing at {path[:200]!r}: see GET /api/help")

    def _instance(
        self,
        request: falcon.Request,
        visit: _Visit,
        caller: Caller,
        selector: str,
        name: str,
        rest: str,
        unfinished: list[Callable[[], None]],
    ) -> Reply:
        visit.area = "node"
        call = visit.begin(InstanceRequest(request, self._service, caller, selector, name))
        try:
            view = call.look()
            instance, node = view.instance, view.node
            locked = instance.versioned and node.locked
            visit.area = instance.typename
            found = instances.match(
                instance.typename,
                request.method,
                rest,
                request.params,
                partial(self._admit, caller),
                locked=locked and not caller.lifts_locks,
            )
            tag = validators.entity_tag(view, found, rest, request.params) if locked else ""
            if tag and validators.matches(request.env.get("HTTP_IF_NONE_MATCH"), tag):
                return Reply(b"", status=304, headers=validators.headers(tag))
            if found.route.writes:  # it may take long until its body is here
                call.look_away()
            reply = self._run(found, call, unfinished)
        finally:
            call.look_away()
        return validators.tagged(reply, tag) if tag and reply.status == 200 else reply

    def _run(self, match: Match, call: Request, unfinished: list[Callable[[], None]]) -> Reply:
        if match.route.admin:
            need_admin(call.caller)
            if call.attempt is not None:
                call.attempt.admin = True
        if match.route.throttled and call.asks_for_its_turn:
            unfinished.append(HeavyRequest(self._service.board).close)
        return match.run(call)

    def _admit(self, caller: Caller, route: Route) -> None:
        if route.writes:
            if self._service.config.server.read_only:
                raise Forbidden("this server is read-only")
            if caller.refused_writes:
                raise Forbidden(caller.refused_writes)


def _check_path(path: str, raw: str) -> None:
    """Refuse a path with control characters, other than in what is asked of an instance: its keys may have any."""
    parts = path.split("/", 5)
    if parts[1:3] == ["api", "node"] and len(parts) == 6:
        del parts[5]
    if any(_CONTROL.search(part) for part in parts):
        raise BadRequest("the path has control characters")
    try:
        raw.encode("latin-1").decode()
    except UnicodeError:
        raise BadRequest("the path has bytes that are not UTF-8") from None


class _Visit:
    """What the journal gets to know about a request."""

    __slots__ = ("app", "area", "attempt", "call", "path", "user")

    def __init__(self, path: str) -> None:
        self.path, self.area, self.user, self.app = path, "other", "", ""
        self.call: Request | None = None
        self.attempt: Attempt | None = None

    def begin(self, call: R) -> R:
        """Take in the request as its handler will see it."""
        self.call = call
        call.attempt = self.attempt
        return call


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def create_app(
    database: Database, config: Config, board: Board | None = None, worker: int = 0, port: int = 0
) -> Application:
    """The application that serves a database, with what it shares with other workers."""
    board = board or Board(1, config.limits.heavy_requests)
    gate = Gate(config.server.threads)
    return Application(Service(database, config, board, Journal(config, board, worker, gate), gate), port)

"""Who may do what: admin rights, and what web pages of other origins may do.

A browser sends requests for any page its user has open, also to servers on the user's own machine. Such requests
betray themselves: `Origin` names the page's server, and a page that has its own name resolve to 127.0.0.1 (DNS
rebinding) betrays itself by `Host`.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from dvid.config import Config
from dvid.errors import Forbidden

_METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")
_FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP", "HTTP_VIA")


class Caller(NamedTuple):
    """What a request's sender may do."""

    admin: bool
    lifts_locks: bool = False
    """True if it may write to committed nodes: a token was shown, being on the same machine is not enough."""
    refused_admin: str = ""
    """Why not, where `admin` is false."""
    refused_writes: str = ""
    """Why the request may not change anything; empty if it may."""


class Access:
    """Decides what a request may do, from its headers and its address."""

    def __init__(self, config: Config, port: int = 0) -> None:
        server = config.server
        self._token = (config.admin_token or "").encode()
        self._local = server.http_address.is_loopback
        self._any_origin = "*" in server.cors_domains
        self._origins = frozenset(server.cors_domains) - {"*"}
        self._timing = server.allow_timing
        self._port = str(port or server.http_address.port)
        host = server.http_address.host.lower()
        self._names = {"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host}
        self._plain = Caller(
            False, False, "this request needs admin rights: send the admin token as 'Authorization: Bearer TOKEN'"
        )

    def caller(self, environ: Mapping[str, str], given: object) -> Caller:
        """What the sender of a request may do.

        Args:
            environ: the WSGI environment.
            given: the query's `admintoken`, if there is one.
        """
        foreign = self._foreign(environ)
        if self._token:
            authorization = environ.get("HTTP_AUTHORIZATION", "")
            if authorization[:7].lower() == "bearer ":
                given = authorization[7:].strip()
            if given is None:
                return self._plain._replace(refused_writes=foreign) if foreign else self._plain
            admin = isinstance(given, str) and hmac.compare_digest(given.encode(errors="replace"), self._token)
            return Caller(admin, admin, "the admin token is wrong", foreign)
        if not self._local:
            return Caller(
                False, False, "no request has admin rights: the server was started without DVID_ADMIN_TOKEN", foreign
            )
        if any(name in environ for name in _FORWARDED) or not _is_loopback(environ.get("REMOTE_ADDR", "")):
            return Caller(False, False, "only requests from this machine have admin rights", foreign)
        return Caller(not foreign, False, foreign, foreign)

    def _foreign(self, environ: Mapping[str, str]) -> str:
        """Why a request may come from a web page of elsewhere; empty if it does not."""
        host = environ.get("HTTP_HOST", "").lower()
        if self._local and not self._token and not self._is_own(host) and not self._named(f"http://{host}"):
            return (
                f"the Host of the request, {host[:100]!r}, is not this server: if a proxy sends it, add that name to "
                "server.corsDomains, or start the server with DVID_ADMIN_TOKEN"
            )
        origin = environ.get("HTTP_ORIGIN")
        if origin is None:
            if environ.get("HTTP_SEC_FETCH_SITE", "") == "cross-site":
                return "a web page of another origin sent this request; server.corsDomains does not name it"
            return ""
        if origin.lower() in (f"http://{host}", f"https://{host}") or self._named(origin):
            return ""
        return f"a web page of {origin[:100]!r} sent this request; server.corsDomains does not name that origin"

    def _is_own(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        return found is not None and found[1] in self._names and (found[2] or "80") == self._port

    def _named(self, origin: str) -> bool:
        """Whether `corsDomains` has an origin, other than by "*"."""
        if not self._origins:
            return False
        origin = origin.lower()
        if origin in self._origins:
            return True
        try:
            return (urlsplit(origin).hostname or "") in self._origins
        except ValueError:
            return False

    def cors(self, environ: Mapping[str, str], headers: list[tuple[str, str]]) -> None:
        """Add the headers that let web pages of other origins read an answer."""
        if self._any_origin:
            allowed = "*"
        elif self._origins:
            headers.append(("vary", "Origin"))
            origin = environ.get("HTTP_ORIGIN", "")
            allowed = origin if origin and self._named(origin) else ""
        else:
            allowed = ""
        if allowed:
            headers.append(("access-control-allow-origin", allowed))
            headers.append(("access-control-expose-headers", "*"))
        if self._timing:
            headers.append(("timing-allow-origin", "*"))

    def preflight(self, environ: Mapping[str, str], headers: list[tuple[str, str]]) -> None:
        """Add the headers that answer a browser's question whether a page may send a request."""
        origin = environ.get("HTTP_ORIGIN", "")
        if not (self._any_origin or self._named(origin)):
            return
        headers.append(("access-control-allow-methods", _METHODS))
        asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
        if asked and re.fullmatch(r"[A-Za-z0-9, _-]{1,1000}", asked):
            headers.append(("access-control-allow-headers", asked))
        if "HTTP_ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK" in environ:
            headers.append(("access-control-allow-private-network", "true"))
        headers.append(("access-control-max-age", "86400"))


def need_admin(caller: Caller) -> None:
    """Refuse a request without admin rights.

    Raises:
        Forbidden: it has none.
    """
    if not caller.admin:
        raise Forbidden(caller.refused_admin)


@lru_cache(1000)
def _is_loopback(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback

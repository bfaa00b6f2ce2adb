"""The built-in web page: what a browser gets at `/` where no `webClient` is configured.

Plain HTML, CSS and JavaScript modules, sent as they lie in this folder. The page uses nothing but the public HTTP API.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from dvid.routes import Reply

MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Names of repos are what users typed: whatever they hold, nothing but the files of this folder runs."""


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    tag: str


@cache
def _files() -> dict[str, _File]:
    """The files by path. What is not in this table is not served, so that no path leads out of the folder."""
    found = {}
    for entry in files(__name__).iterdir():
        media_type = MEDIA_TYPES.get(entry.name.rpartition(".")[2])
        if media_type is not None and entry.is_file():
            content = entry.read_bytes()
            tag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
            found["/" + entry.name] = _File(content, media_type, tag)
    found["/"] = found["/index.html"]
    return found


def console_file(path: str, if_none_match: str | None = None) -> Reply | None:
    """The file of the page at a path, or None where the page has no such file.

    Args:
        path: of the request, decoded, with its leading slash; "/" is the page itself.
        if_none_match: the request's header of that name; a copy that is still good is answered with 304.
    """
    file = _files().get(path)
    if file is None:
        return None
    headers = {
        "ETag": file.tag,
        "Cache-Control": "no-cache",  # a new version of the service shows at the next visit; 304 until then
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    given = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    if file.tag in given or "*" in given:
        return Reply(b"", file.media_type, 304, headers)
    return Reply(file.content, file.media_type, 200, headers)

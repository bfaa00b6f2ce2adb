"""The files of a web client, where `server.webClient` names a folder of them."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from pathlib import Path

from dvid.config import Server
from dvid.errors import NotFound
from dvid.routes import OCTETS, Reply

_PIECE = 1 << 18


def client_file(settings: Server, path: str) -> Reply:
    """Answer a file of the web client; a folder means its index.html.

    What is not there is redirected to `webRedirectPath`, or answered with `webDefaultFile`, as the settings say.

    Raises:
        NotFound: there is no such file, nor anything in its place.
    """
    folder = Path(settings.web_client or "").resolve()
    found = _inside(folder, path.lstrip("/"))
    if found is None and settings.web_redirect_path:
        return Reply(b"", status=302, headers={"location": settings.web_redirect_path})
    if found is None and settings.web_default_file:
        found = _inside(folder, settings.web_default_file)
    if found is None:
        raise NotFound(f"the web client has no file {path[:200]!r}")
    kind = mimetypes.guess_type(found.name)[0] or OCTETS
    return Reply(_pieces(found), kind, length=found.stat().st_size)


def _inside(folder: Path, name: str) -> Path | None:
    """The file of that name, if the folder or one below it has it. Links out of the folder are not followed."""
    found = (folder / name).resolve()
    if found.is_dir():
        found = found / "index.html"
    return found if found.is_relative_to(folder) and found.is_file() else None


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            yield piece

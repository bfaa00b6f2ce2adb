"""Requests about the server itself: /api/server/..., /api/repos, /api/heartbeat and the like."""

from __future__ import annotations

from dvid.http.calls import Request
from dvid.http.repositories import get_repos_info, post_repos
from dvid.routes import JSON, TEXT, Reply, Route, text_reply


def get_heartbeat(call: Request) -> Reply:
    """Say that the server is there."""
    return text_reply("OK")


ROUTES = (
    Route("GET", "/heartbeat", get_heartbeat, "Tell that the server answers: OK.", answers=TEXT),
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

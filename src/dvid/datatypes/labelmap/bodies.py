"""Requests that ask about bodies and supervoxels."""

from __future__ import annotations

from dvid.routes import Route

ROUTES: tuple[Route, ...] = ()

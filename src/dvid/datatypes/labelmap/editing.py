"""Requests that change which supervoxels make up which bodies."""

from __future__ import annotations

from dvid.routes import Route

ROUTES: tuple[Route, ...] = ()

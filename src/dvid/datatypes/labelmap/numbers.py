"""Requests for new labels and the largest ones."""

from __future__ import annotations

from dvid.routes import Route

ROUTES: tuple[Route, ...] = ()

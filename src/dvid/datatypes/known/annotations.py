"""Annotations of points and of bodies."""

from __future__ import annotations

from dvid.datatypes.known.declaration import known_type

DATATYPES = (
    known_type("annotation", "Points with kinds, tags, properties and relations to each other, such as synapses."),
    known_type("neuronjson", "A JSON object for each body, with queries and the history of who changed which field."),
)

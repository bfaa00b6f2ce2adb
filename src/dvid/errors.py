"""The error tree: grouped by what a caller does about it; each knows the HTTP status it is answered with.

The messages are for people: they name what was wrong, what was expected, and the value.
"""

from __future__ import annotations


class DvidError(Exception):
    """Base of all errors this service raises on purpose."""

    status = 500


class BadRequest(DvidError):
    """The request cannot be understood or is not allowed: change it before sending it again."""

    status = 400


class UnknownNode(BadRequest):
    """No node has the UUID, tag or branch that was asked for (the reference server answers 400, and clients rely on it)."""


class UnknownInstance(BadRequest):
    """The repo has no data instance of that name (400, as in the reference server)."""


class LockedNode(BadRequest):
    """The node is committed: write to an open child of it (400, as in the reference server)."""


class MergeConflict(BadRequest):
    """A merged node inherits different values of one key from its parents: write the key anew to decide."""

    status = 409


class Forbidden(DvidError):
    """The caller may not do this."""

    status = 403


class NotFound(DvidError):
    """The thing asked for does not exist."""

    status = 404


class MethodNotAllowed(DvidError):
    """The path exists, but not for this HTTP method."""

    status = 405


class Stalled(DvidError):
    """The client has stopped in the middle of sending a request: nothing was changed, it may be sent again."""

    status = 408


class Conflict(DvidError):
    """What is asked for contradicts what is stored."""

    status = 409


class LengthRequired(DvidError):
    """The request's body needs a Content-Length."""

    status = 411


class TooLarge(DvidError):
    """The request or its answer exceeds a limit of the server; the message names the limit."""

    status = 413


class KeyReused(DvidError):
    """The request's Idempotency-Key was that of another request: take a new key for each."""

    status = 422


class RangeNotSatisfiable(DvidError):
    """A byte range lies outside the value."""

    status = 416


class NotServed(DvidError):
    """The type of data is known, but this version of the service does not hold its data."""

    status = 501


class Busy(DvidError):
    """Too much is running: send the same request again later."""

    status = 503


class StoreAbsent(DvidError):
    """The data is in a store that is not open here: the configuration of the server needs to name it."""

    status = 503


class StoreFull(DvidError):
    """The store cannot grow: nothing was written, reads go on."""

    status = 507


class CorruptValue(DvidError):
    """A stored value does not match its checksum; the message names the key. Restore it from a backup."""


class StoreUnusable(DvidError):
    """The store cannot be opened: another format, a damaged file, no permission."""


class ConfigError(DvidError):
    """A setting is unknown or has a bad value; the program ends with exit code 2."""

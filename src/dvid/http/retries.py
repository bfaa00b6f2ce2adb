"""Requests with an `Idempotency-Key`: sent again, they are answered as the first time, and do nothing twice.

The header is that of draft-ietf-httpapi-idempotency-key-header-07. How it works here:

- *One transaction.* The operation that a handler runs gives the reply, so that the reply is put into the transaction of
  the effects (`Attempt.keep`). It goes to the store of that transaction, which is where an instance's data is. Of
  an operation of several transactions it is the one that gives the reply, the last; those before it have to be ones
  that can be done again. A reply that is made in pieces, or of more than 64 KiB, cannot be kept: the request is
  refused, and leaves no trace. Requests that are refused keep nothing: they can be sent again with the same key.
- *A repeat* is looked for before anything else is, the route included: the node may be committed by now, the instance
  renamed, the repo deleted. Whoever repeats needs the rights of the first request all the same.
- *Two at once.* Both find nothing, and both begin. The transaction of the second one finds the reply of the first one when
  it puts its own, or is refused for what the first one did (a name is in use, a node is committed). So after any error
  replies are looked for once more, now in what is committed: the reply of the first one is what the second one is answered. If
  the commit of the first one has failed, there is none, and the second one is told to try again.
- *The same request* has the same method, path, options (in any order, but for the admin token) and body. All but the body is
  known when it begins; the body is added to the digest while the handler reads it, and what a handler leaves of it is
  read before the transaction. So bodies of any size are told from each other, and none is held in memory for it.
  A repeat's body is read to its end and compared before it is answered. Another request with the same key is refused:
  422. Where the two go to different stores at the same moment, both are done, and one of their replies is found later.
"""

from __future__ import annotations

import re
import time
from typing import Final
from urllib.parse import parse_qsl

import msgspec
import xxhash

from dvid.database import Database
from dvid.errors import BadRequest, Busy, Conflict, KeyReused, TooLarge
from dvid.routes import Reply
from dvid.storage.protocol import Transaction
from dvid.versions.retries import KeptReply, find, keep

MOST_BYTES: Final = 64 << 10
"""Longest reply that is kept."""
_KEY = re.compile(r"[!-~]{1,255}")
_encode = msgspec.json.Encoder().encode


class Attempt:
    """One arrival of a request with an `Idempotency-Key`: perhaps not the first."""

    __slots__ = ("_digest", "_hours", "_key", "admin")

    def __init__(self, key: str, method: str, path: str, query: str, hours: float) -> None:
        """Take what is known of a request before its body.

        Args:
            key: of the header.
            method: of the request.
            path: as it was sent.
            query: as it was sent.
            hours: how long replies are kept.

        Raises:
            BadRequest: the key is not 1 to 255 visible ASCII characters.
        """
        if not _KEY.fullmatch(key):
            raise BadRequest(f"Idempotency-Key: 1 to 255 visible ASCII characters were expected, not {key[:300]!r}")
        self._key, self._hours = key, hours
        options = sorted(option for option in parse_qsl(query, keep_blank_values=True) if option[0] != "admintoken")
        self._digest = xxhash.xxh3_128(_encode((method, path, options)))
        self.admin = False
        """True if only an admin may send it."""

    def take(self, piece: bytes) -> None:
        """Count the next piece of the request's body as a part of the request."""
        self._digest.update(piece)

    def find(self, database: Database) -> KeptReply | None:
        """What the first arrival of a request with this key was answered, if that is committed. It may be another request."""
        since = kept_since(self._hours)
        for store in (database.store, *database.others.values()):
            with store.snapshot() as snapshot:
                found = find(snapshot, self._key, since)
                if found is not None:
                    return found
        return None

    def keep(self, transaction: Transaction, reply: Reply) -> None:
        """Keep the reply to this request, whose body was read to its end.

        Raises:
            Busy: another arrival was faster; its reply is found once it is committed.
            TooLarge: the reply is too long.
            Conflict: the reply is not whole.
        """
        if reply.status >= 400:
            return
        if not isinstance(reply.body, bytes):
            raise Conflict("the answer to this request cannot be kept: send it without an Idempotency-Key")
        if len(reply.body) > MOST_BYTES:
            raise TooLarge(
                f"the answer has {len(reply.body)} bytes, and at most {MOST_BYTES} are kept: send the request "
                "without an Idempotency-Key"
            )
        if find(transaction, self._key, kept_since(self._hours)) is not None:
            raise Busy("another request with this Idempotency-Key was running, and has failed: send it again")
        kept = KeptReply(
            time=_now(),
            request=self._digest.digest(),
            body=reply.body,
            media_type=reply.media_type,
            status=reply.status,
            headers=dict(reply.headers),
            admin=self.admin,
        )
        keep(transaction, self._key, kept)

    def replayed(self, kept: KeptReply) -> Reply:
        """The reply to this request, whose body was read to its end, from what was kept.

        Raises:
            KeyReused: the key is that of another request.
        """
        if kept.request != self._digest.digest():
            raise KeyReused(
                "this Idempotency-Key was used for another request (its method, path, options or body differ): "
                "take a new key for each request"
            )
        headers = {**kept.headers, "Idempotent-Replayed": "true"}
        return Reply(kept.body, kept.media_type, kept.status, headers)


def kept_since(hours: float) -> int:
    """Before which time (milliseconds since 1970) replies have expired that are kept for so long."""
    return _now() - int(hours * 3_600_000)


def _now() -> int:
    return time.time_ns() // 1_000_000

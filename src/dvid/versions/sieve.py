"""Picking the visible entries out of lists of stored keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dvid.versions import layout

_SPARSE = 8
_FEW = 64
LAST = b"\xff" * 4 + b"\0"
"""Ends a bound behind the oldest version of a key."""


class Sieve:
    """Picks the newest visible version of each key, from stored keys that come in their order, list after list."""

    def __init__(self, sees: Callable[[int], bool]) -> None:
        self._sees = sees
        self._seen: dict[bytes, bool] = {}
        self._done = b""
        """The last key that was picked, without its version."""

    def newest(self, keys: Sequence[bytes]) -> list[int] | None:
        """Where the picked ones are in a list; None if all are picked."""
        seen = self._seen
        suffixes = {key[-4:] for key in keys}
        for suffix in suffixes - seen.keys():
            seen[suffix] = self._sees(layout.version_of(suffix))
        if len(suffixes) == 1 and seen[keys[0][-4:]] and keys[0][:-4] != self._done:
            self._done = keys[-1][:-4]  # of one version no key comes twice
            return None
        picked: list[int] = []
        done = self._done
        for i, key in enumerate(keys):
            if seen[key[-4:]]:
                stem = key[:-4]
                if stem != done:
                    done = stem
                    picked.append(i)
        self._done = done
        return None if len(picked) == len(keys) else picked

    def is_sparse(self, picked: int, of: int) -> bool:
        """True if so few were picked that seeking from key to key is faster than reading them all."""
        return of >= _FEW and picked * _SPARSE < of

    def behind(self, key: bytes) -> bytes:
        """Where to go on after the last key of a list."""
        return key[:-4] + LAST if key[:-4] == self._done else key + b"\0"

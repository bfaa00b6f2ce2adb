"""How many heavy requests run at the same time."""

from __future__ import annotations

import threading
from types import TracebackType

from dvid.errors import Busy


class Throttle:
    """A number of places; who finds none is refused at once."""

    def __init__(self, places: int) -> None:
        self.places = places
        self._taken = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._taken >= self.places:
                raise Busy(
                    f"{self.places} heavy requests are running, as many as allowed (limits.heavyRequests): try again"
                )
            self._taken += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._taken -= 1

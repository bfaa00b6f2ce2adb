"""Waiting for what others do. Nothing here needs more than Python: the client's tests run where the service does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def eventually(check: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What `check` gives as soon as that is true.

    What a server or another process does after its answer (its log, its counters, its files) is there a little later,
    and on a busy machine much later.
    """
    end = time.monotonic() + seconds
    while not (found := check()) and time.monotonic() < end:
        time.sleep(0.02)
    assert found, "it did not happen in time"
    return found

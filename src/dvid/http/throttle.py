"""How many heavy requests run at the same time, in all workers of a server together."""

from __future__ import annotations

from types import TracebackType

from dvid.errors import Busy
from dvid.http.board import Board


class HeavyRequest:
    """A heavy request's place. Who finds none is refused at once."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._place = board.take_place()
        if self._place is None:
            raise Busy(
                f"{board.places} heavy requests are running, as many as allowed (limits.heavyRequests): try again later"
            )

    def close(self) -> None:
        """Give the place back; a second time does nothing."""
        if self._place is not None:
            self._board.leave_place(self._place)
            self._place = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

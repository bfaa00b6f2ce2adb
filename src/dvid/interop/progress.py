"""A durable list of the boxes of a volume that are done, so that an interrupted import or export can go on.

The file holds one JSON object a line: first what the work is (`fingerprint`), then a box per line. It is locked while
in use; a last line torn by a crash is dropped.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from dvid.errors import BadRequest, Conflict

Box = tuple[tuple[int, int, int], tuple[int, int, int]]
"""First voxel and size of a box, both z, y, x."""

FORMAT = "dvid progress 1"
MAX_JOURNAL_BYTES = 1 << 30


class ProgressJournal:
    """The boxes that are done, of one piece of work.

    Args:
        path: Of the file; made if it is not there, otherwise gone on with.
        fingerprint: What the work is: texts and numbers that tell source and target from any other.

    Attributes:
        path: Of the file.
        finished: The boxes recorded, in this run and earlier ones.

    Raises:
        Conflict: If the file belongs to other work, or is in use.
        BadRequest: If it is not such a file, or is damaged.
    """

    def __init__(self, path: str | os.PathLike[str], fingerprint: Mapping[str, str | int | float | None]) -> None:
        self.path = os.fspath(path)
        self.finished: set[Box] = set()
        self._fingerprint = dict(fingerprint)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._lock()
            self._load()
        except BaseException:
            os.close(self._file)
            raise

    def __contains__(self, box: Box) -> bool:
        return box in self.finished

    def record(self, start_zyx: tuple[int, int, int], shape_zyx: tuple[int, int, int]) -> None:
        """Notes a box as done; it is on disk when this returns."""
        self.record_many([(start_zyx, shape_zyx)])

    def record_many(self, boxes: Iterable[Box]) -> None:
        """Notes several boxes as done; they are on disk when this returns."""
        boxes = [(_as_point(start), _as_point(shape)) for start, shape in boxes]
        self._append("".join(json.dumps({"start_zyx": start, "shape_zyx": shape}) + "\n" for start, shape in boxes))
        self.finished.update(boxes)

    def close(self) -> None:
        """Keeps the file for a later run; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def remove(self) -> None:
        """Deletes the file: the work is done."""
        # Deleted while locked, so that no other run can have taken it up.
        if self._file >= 0:
            os.unlink(self.path)
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"{self.path} is in use: the same import or export is running already") from None

    def _load(self) -> None:
        size = os.fstat(self._file).st_size
        if size > MAX_JOURNAL_BYTES:
            raise BadRequest(f"{self.path} is not a progress file: it has {size} bytes")
        data = bytearray()
        while piece := os.pread(self._file, 1 << 20, len(data)):
            data += piece
        whole = data.rfind(b"\n") + 1
        lines = bytes(data[:whole]).split(b"\n")[:-1]
        if not lines:
            if data and not _start_line(self._fingerprint).startswith(bytes(data)):
                raise BadRequest(f"{self.path} is not a progress file")
            os.ftruncate(self._file, 0)
            self._append(_start_line(self._fingerprint).decode())
            return
        self._check_head(lines[0])
        for number, line in enumerate(lines[1:], start=2):
            self.finished.add(self._parse_box(line, number))
        os.ftruncate(self._file, whole)

    def _check_head(self, line: bytes) -> None:
        try:
            head = json.loads(line)
        except ValueError:
            head = None
        if not isinstance(head, dict) or head.get("format") != FORMAT or not isinstance(head.get("work"), dict):
            raise BadRequest(f"{self.path} is not a progress file")
        recorded = head["work"]
        for key in sorted(recorded.keys() | self._fingerprint.keys()):
            before, now = recorded.get(key), self._fingerprint.get(key)
            if before != now:
                raise Conflict(
                    f"{self.path} belongs to other work: its {key} was {before!r} and is now {now!r}. Resume with the same source and target, or delete the file to start anew"
                )

    def _parse_box(self, line: bytes, number: int) -> Box:
        try:
            entry = json.loads(line)
            return _as_point(entry["start_zyx"]), _as_point(entry["shape_zyx"])
        except (ValueError, TypeError, KeyError):
            raise BadRequest(f"{self.path} is damaged: line {number} is not a box") from None

    def _append(self, text: str) -> None:
        data = text.encode()
        end = os.lseek(self._file, 0, os.SEEK_END)
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError:
            # Half a line in the middle of the file would make all of it unreadable.
            os.ftruncate(self._file, end)
            raise


def _start_line(fingerprint: Mapping[str, str | int | float | None]) -> bytes:
    return (json.dumps({"format": FORMAT, "work": dict(fingerprint)}) + "\n").encode()


def _as_point(values: Iterable[int]) -> tuple[int, int, int]:
    z, y, x = (int(value) for value in values)
    return z, y, x

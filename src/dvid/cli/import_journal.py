"""How far an import has come, in a file of the user's, so that one that was interrupted goes on."""

from __future__ import annotations

import fcntl
import hashlib
import os
from typing import TYPE_CHECKING

from dvid.cli.target import OpenVolume
from dvid.errors import Conflict
from dvid.geometry import Box

if TYPE_CHECKING:
    from dvid.interop import ProgressJournal, VolumeSource


def open_journal(
    source: VolumeSource,
    dataset: str | None,
    uuid: str,
    volume: OpenVolume,
    region: Box,
    resume: bool | None,
    command: str,
) -> ProgressJournal:
    """What is done of an import; a new file, or the one of a run that was interrupted.

    Args:
        source: what is imported.
        dataset: which one of its file, if that was said.
        uuid: of the node.
        volume: what is written to.
        region: where to.
        resume: go on where it was interrupted; False begins anew, None refuses both.
        command: what goes on with it, for the message.

    Raises:
        Conflict: an import was interrupted, and nobody has said what is to be done; or it is running; or it had another source.
    """
    from dvid.interop import ProgressJournal

    where = (os.path.abspath(source.name), dataset, uuid, volume.info.data_uuid, region.start_zyx)
    folder = os.path.join(state_folder(), "imports")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, hashlib.sha256(repr(where).encode()).hexdigest()[:32])
    if resume is None and os.path.exists(path):
        raise Conflict(
            f"an import of {source.name} to this place was begun and not finished: go on with '{command}', "
            "or begin anew with --restart in place of --resume"
        )
    if resume is False:
        _forget(path)
    return ProgressJournal(
        path,
        {
            "source": source.name,
            "state of the source": source.fingerprint(),
            "node": uuid,
            "instance": volume.info.data_uuid,
            "blocks": repr(volume.info.block_zyx),
            "offset_zyx": repr(region.start_zyx),
        },
    )


def state_folder() -> str:
    """Where the progress of imports is kept: `$XDG_STATE_HOME/dvid`, else `~/.local/state/dvid`."""
    base = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):  # the XDG specification has relative paths ignored
        base = os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "dvid")


def _forget(path: str) -> None:
    """Remove the journal of an import that does not run any more."""
    if not os.path.exists(path):
        return
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"{path} is in use: the same import is running") from None
        os.unlink(path)

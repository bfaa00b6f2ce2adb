"""What is done about bad clients does not touch the store."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

from dvid.http.connections import drop_stalled

TRY_LOCK = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"


def test_dropping_stalled_connections_keeps_the_locks_of_other_files(tmp_path: Path) -> None:
    """LMDB tells by such locks which processes are alive: the pages that a "dead" one reads are used again."""
    path = tmp_path / "locked"
    with path.open("w+b") as file, socket.create_server(("127.0.0.1", 0)) as listener:
        fcntl.lockf(file, fcntl.LOCK_EX)
        with socket.create_connection(listener.getsockname()) as client, listener.accept()[0]:
            descriptors = len(os.listdir("/proc/self/fd"))
            assert drop_stalled(3600) == 0
            assert drop_stalled(0) == 1
            assert len(os.listdir("/proc/self/fd")) == descriptors
            assert client.recv(1) == b""
        other = subprocess.run([sys.executable, "-c", TRY_LOCK, str(path)], capture_output=True, check=False)
        assert b"BlockingIOError" in other.stderr

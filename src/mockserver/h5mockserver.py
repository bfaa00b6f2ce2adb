"""Serves the volumes of an HDF5 file over HTTP as a DVID server would, and makes such files.

Run it with ``python h5mockserver.py FILE`` (in its folder, with ``PYTHONPATH=..``), ``python -m mockserver.h5mockserver FILE`` or
``dvid serve-h5 FILE``.

The file::

    /datasets                          group
        /<dataset>                     group: a repository; its attribute dvid_repo is optional
            /nodes                     group
                /<uuid>                group: a version; its attribute dvid_node is optional
                    /<volume>          dataset: a volume
                    /<key-values>      group: one dataset of bytes for each key
    /all_nodes                         group
        /<uuid>                        link to the group of the version above

A volume has two to four dimensions. Its attributes, strings, each of them optional:

``axistags``
    The axes in the order of the dataset's dimensions, as JSON: what ``vigra.AxisTags.toJSON()`` gives. They may be in any order;
    without them, ``zyxc``, ``zyx`` or ``yx`` are taken, by the number of dimensions, unless ``dvid_metadata`` fits another order.
``dvid_metadata``
    What ``/api/node/UUID/VOLUME/metadata`` answers: for each axis position of the first voxel, size and unit of a voxel. Without
    it, the volume begins at 0. The shape and the type of the dataset are what counts, whatever is written here.
``dvid_instance``
    JSON with ``TypeName`` (``uint8blk``, ``labelblk`` ...), ``Tags`` and ``DataUUID``.

On the wire, voxels are always ordered with the channel first, then x, y, z (as an array in C order: ``zyxc``). ``dvid_node`` is JSON
with ``Parents``, ``Locked``, ``Branch``, ``Note``, ``Log``, ``Created``; ``dvid_repo`` with ``Alias``, ``Description``, ``Log``, ``Created``. A version shows the
data of its parent until its own is first written: then it gets a copy. A version with children takes no more changes.

While a file is served, it is locked as the HDF5 library does it, and ``FILE.journal`` beside it holds the change that is being made.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

if __name__ == "__main__":
    if not __package__:
        # Run as a file: the modules beside it are no modules of their own, and the package need not be installed.
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    if missing := [name for name in ("falcon", "h5py", "waitress") if importlib.util.find_spec(name) is None]:
        sys.exit(f"h5mockserver: needs {', '.join(missing)}: pip install 'dvidclient[hdf5]'")

import argparse
import contextlib
import os
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from mockserver.h5check import check, child_environment
from mockserver.h5datafile import DataFile, open_locked
from mockserver.h5errors import FileUnusable
from mockserver.h5making import H5MockServerDataFile
from mockserver.h5requests import MOST_REQUEST_BYTES
from mockserver.h5supervisor import serve

__all__ = ["PORT", "H5MockServer", "H5MockServerDataFile", "main"]

PORT = 8000


class H5MockServer:
    """A server of a file in a process of its own (or in a thread of this one); also a context manager.

    Args:
        path: the file.
        address: host and port to listen at; port 0 takes a free one.
        same_process: answer in a thread of this process, which a file that crashes the HDF5 library ends.
        read_only: refuse changes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        address: tuple[str, int] = ("127.0.0.1", 0),
        *,
        same_process: bool = False,
        read_only: bool = False,
    ) -> None:
        self.path = Path(path)
        self.address = address
        self._same_process = same_process
        self._read_only = read_only
        self._url = ""
        self._process: subprocess.Popen[str] | None = None
        self._end: Callable[[], None] | None = None

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        if not self._url:
            raise ValueError("the server is not started")
        return self._url

    @property
    def pid(self) -> int | None:
        """Of its process; None where it has none of its own."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Starts it, and waits until it answers.

        Raises:
            FileUnusable: the file or the address cannot be served; says why.
        """
        if self._url:
            raise ValueError("the server is started already")
        if self._same_process:
            self._start_thread()
            return
        command = [sys.executable, "-P", "-m", "mockserver.h5mockserver", str(self.path)]
        command += ["--host", self.address[0], "--port", str(self.address[1])]
        command += ["--read-only"] if self._read_only else []
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_environment())
        assert self._process.stdout is not None
        try:
            line = self._process.stdout.readline()
        except BaseException:
            self.shutdown()
            raise
        found = re.search(r"(http://\S+)/$", line.strip())
        if found is None:
            self.shutdown()
            raise FileUnusable(f"{self.path} could not be served: the reason is on the standard error output")
        self._url = found[1]

    def shutdown(self) -> None:
        """Stops it, and waits until all is written."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        if self._end is not None:
            self._end()
            self._end = None
        self._url = ""

    def __enter__(self) -> H5MockServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def _start_thread(self) -> None:
        from mockserver.h5worker import http_server, stop_http

        with contextlib.ExitStack() as stack:
            descriptor = open_locked(self.path, read_only=self._read_only)
            stack.callback(os.close, descriptor)
            for note in check(self.path, descriptor):
                print(note, file=sys.stderr)
            data = DataFile(self.path, descriptor, read_only=self._read_only)
            stack.callback(data.close)
            listener = socket.create_server(self.address)
            closing = stack.pop_all()
        host, port = listener.getsockname()[:2]
        server = http_server(data, listener, MOST_REQUEST_BYTES)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()

        closing.callback(stop_http, server, thread)
        self._end = closing.close
        self._url = f"http://{host}:{port}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code: 0, or 2 where the file cannot be served."""
    parser = argparse.ArgumentParser(
        prog="h5mockserver", description="Serve the volumes of an HDF5 file as a DVID server would."
    )
    parser.add_argument("file", help="the HDF5 file")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=PORT, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--read-only", action="store_true", help="refuse changes")
    given = parser.parse_args(arguments)
    try:
        serve(given.file, given.host, given.port, read_only=given.read_only)
    except FileUnusable as error:
        print(f"h5mockserver: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

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
import json
import os
import re
import socket
import subprocess
import threading
import uuid as uuids
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from dvidclient.axistags import AxisTags
from dvidclient.errors import MetadataError
from dvidclient.volume_metainfo import MetaInfo
from mockserver.h5check import check, child_environment
from mockserver.h5datafile import DataFile, open_locked
from mockserver.h5errors import FileUnusable, NotThere, Refused
from mockserver.h5instances import natural_type
from mockserver.h5requests import MOST_REQUEST_BYTES
from mockserver.h5supervisor import serve
from mockserver.h5tree import ALL_NODES, DATASETS, Node, add_node, add_repo, checked_name
from mockserver.h5volume import INSTANCE, SLAB_BYTES, create_volume

PORT = 8000


class H5MockServerDataFile:
    """A file to be served, to be made or added to: a context manager. What a call added is in the file when it returns.

    Args:
        path: made where it does not exist.

    Raises:
        FileUnusable: on entering, where the file is in use, or no file of this kind.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._data: DataFile | None = None
        self._descriptor = -1

    def __enter__(self) -> H5MockServerDataFile:
        if not self.path.exists():
            _make(self.path)
        self._descriptor = open_locked(self.path)
        try:
            self._data = DataFile(self.path, self._descriptor)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            os.close(self._descriptor)
            raise FileUnusable(f"{self.path} is corrupt: {' '.join(str(error).split())}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened().close()
        self._data = None
        os.close(self._descriptor)

    def add_node(self, dataset: str, uuid: str, parent: str | None = None) -> None:
        """Adds a version.

        Args:
            dataset: name of a dataset; made where there is none.
            uuid: of the new version: any text without ``/`` and ``:``.
            parent: UUID of the version before; default: the last one added to the dataset, which takes no more changes then.

        Raises:
            ValueError: the UUID is there already, or cannot be one.
        """
        data = self._opened()
        with data.writing(f"adding node {uuid!r}", versions=True) as file:
            if uuid in data.tree.nodes:
                raise Refused(f"there is a node {uuid!r} already")
            repo = data.tree.repos.get(dataset)
            parents: list[str] = []
            if repo is None:
                if f"{DATASETS}/{checked_name(dataset, 'dataset')}" not in file:
                    add_repo(file, dataset)
            else:
                parents = [repo.nodes[-1].uuid if parent is None else data.tree.find(parent).uuid]
            if parent is not None and (repo is None or data.tree.nodes[parents[0]].repo != dataset):
                raise NotThere(f"dataset {dataset!r} has no node {parent!r}")
            add_node(file, Node(uuid, dataset, parents))

    def add_volume(
        self, dataset: str, name: str, tagged_view: Any, *, uuid: str | None = None, compression: str | None = None
    ) -> None:
        """Adds a volume.

        Args:
            dataset: name of a dataset that has a version.
            name: name of the volume.
            tagged_view: array with axis tags: a ``vigra.VigraArray`` or a ``dvidclient.axistags.TaggedArray``, of any order of
                x, y, z and c. The file keeps the order. ``resolution`` and ``description`` of its axes, where all have a
                resolution, become size and unit of a voxel.
            uuid: the version that gets it; default: the last one added to the dataset. Later versions show it, too.
            compression: ``"gzip"``, ``"lzf"`` or None.

        Raises:
            ValueError: there is no such dataset, or data of the name already, or the array cannot be a volume.
        """
        data = self._opened()
        if getattr(tagged_view, "axistags", None) is None:
            raise Refused(f"expected an array with axis tags (vigra.taggedView), got {type(tagged_view).__name__}")
        tags = AxisTags(tagged_view.axistags)
        plain = np.asarray(tagged_view)
        info = _metainfo(plain, tags)
        with data.writing(f"adding volume {name!r}") as file:
            if dataset not in data.tree.repos:
                raise NotThere(f"there is no dataset {dataset!r} with a node: add_node comes first")
            node = data.tree.repos[dataset].nodes[-1] if uuid is None else data.tree.find(uuid)
            group = file[node.path]
            if node.repo != dataset:
                raise Refused(f"node {node.uuid!r} is of the dataset {node.repo!r}, not of {dataset!r}")
            if checked_name(name, "name") in group:
                raise Refused(f"node {node.uuid!r} has data named {name!r} already")
            stored = create_volume(group, name, info, axistags=tags, compression=compression).dataset
            stored.attrs[INSTANCE] = json.dumps(
                {"TypeName": natural_type(info), "Tags": {}, "DataUUID": uuids.uuid4().hex}
            )
            edge = stored.chunks[0]
            step = max(1, SLAB_BYTES // max(1, plain[:1].nbytes) // edge) * edge
            for at in range(0, plain.shape[0], step):
                stored[at : at + step] = plain[at : at + step]

    def _opened(self) -> DataFile:
        if self._data is None:
            raise ValueError(f"{self.path} is not open: use 'with H5MockServerDataFile(...) as server_datafile'")
        return self._data


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
        line = self._process.stdout.readline()
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

        descriptor = open_locked(self.path, read_only=self._read_only)
        try:
            for note in check(self.path, descriptor):
                print(note, file=sys.stderr)
            data = DataFile(self.path, descriptor, read_only=self._read_only)
            listener = socket.create_server(self.address)
        except BaseException:
            os.close(descriptor)
            raise
        host, port = listener.getsockname()[:2]
        server = http_server(data, listener, MOST_REQUEST_BYTES)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()

        def end() -> None:
            stop_http(server, thread)
            data.close()
            os.close(descriptor)

        self._end = end
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


def _make(path: Path) -> None:
    """An empty file of this kind; whole, or not there."""
    fresh = path.with_name(f"{path.name}.{uuids.uuid4().hex[:8]}.new")
    try:
        with h5py.File(fresh, "w") as file:
            file.create_group(DATASETS, track_order=True)
            file.create_group(ALL_NODES)
        fresh.rename(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise FileUnusable(f"{path} cannot be made: {' '.join(str(error).split())}") from error


def _metainfo(array: np.ndarray[Any, Any], tags: AxisTags) -> MetaInfo:
    """What an array with axis tags is as a volume.

    Raises:
        Refused: it cannot be one.
    """
    keys = tags.keys()
    if not set(keys) <= set("xyzc") or not set(keys) & set("xyz"):
        raise Refused(f"expected the axes x, y, z and c in any order, got {''.join(keys)!r}")
    size = dict(zip(keys, array.shape, strict=True))
    steps = [tags[axis].resolution for axis in "xyz" if axis in keys]
    known = all(step > 0 for step in steps)
    at = {axis: tags[axis] for axis in "xyz" if axis in keys}
    filled = [at.get(axis) for axis in "xyz"]
    try:
        return MetaInfo(
            (size.get("c", 1), *(size.get(axis, 1) for axis in "xyz")),
            array.dtype,
            "cxyz",
            voxel_size=tuple(steps[0] if info is None else info.resolution for info in filled) if known else None,
            units=tuple("" if info is None else info.description for info in filled) if known else None,
        )
    except MetadataError as error:
        raise Refused(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())

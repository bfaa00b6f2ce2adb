"""Looks through an HDF5 file that a user brings, in a process of its own: where the HDF5 library crashes or hangs, only that ends.

Refused are links to other files, voxels kept in other files, virtual datasets, filters beside gzip, shuffle, Fletcher-32 and LZF,
and chunks that are too large.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py

from mockserver.h5errors import FileUnusable, Refused
from mockserver.h5journal import JournaledFile
from mockserver.h5tree import DATASETS, Tree, group_in
from mockserver.h5volume import Volume

SECONDS = 120
MEMORY_BYTES = 4 << 30
MOST_CHUNK_BYTES = 256 << 20
MOST_OBJECTS = 2_000_000
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}


def check(path: str | os.PathLike[str], descriptor: int) -> list[str]:
    """Checks an open file.

    Args:
        path: for messages.
        descriptor: of the file.

    Returns:
        What is left out or guessed, one line each.

    Raises:
        FileUnusable: the file cannot be served, and why.
    """
    command = [sys.executable, "-P", "-m", "mockserver.h5check", str(descriptor)]
    try:
        done = subprocess.run(
            command, pass_fds=[descriptor], capture_output=True, env=child_environment(), timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise FileUnusable(f"{os.fspath(path)} could not be looked through within {SECONDS} s") from error
    if done.returncode < 0:
        raise FileUnusable(f"{os.fspath(path)} is corrupt: the HDF5 library crashed (signal {-done.returncode}) on it")
    try:
        found = json.loads(done.stdout)
        refused, notes = found["refused"], [str(note) for note in found["notes"]]
    except (ValueError, KeyError, TypeError) as error:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise FileUnusable(f"{os.fspath(path)} could not be looked through: {' '.join(last)}") from error
    if refused is not None:
        raise FileUnusable(f"{os.fspath(path)} {refused}")
    return notes


def child_environment() -> dict[str, str]:
    """The environment for a process that runs a module of this package, from wherever this one was imported."""
    import dvidclient
    import mockserver

    folders = [str(Path(str(module.__file__)).resolve().parents[1]) for module in (mockserver, dvidclient)]
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*dict.fromkeys(folders), *([before] if before else [])])}


def limit_memory(size: int) -> None:
    """Lets this process have no more memory: files can be made so that the HDF5 library asks for any amount."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _look_through(descriptor: int) -> dict[str, Any]:
    try:
        with h5py.File(JournaledFile(descriptor, None), "r") as file:
            if group_in(file, DATASETS) is None:
                return {"refused": f"was not made for this server: it has no group /{DATASETS}", "notes": []}
            _check_objects(file)
            tree = Tree(file)
            return {"refused": None, "notes": tree.notes + _notes(file, tree)}
    except Refused as error:
        return {"refused": str(error), "notes": []}
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError) as error:
        return {"refused": f"is corrupt: {' '.join(str(error).split()) or type(error).__name__}", "notes": []}


def _check_objects(file: h5py.File) -> None:
    """Goes along all links, each object once."""
    seen: set[tuple[int, int]] = set()
    waiting = [file["/"].id]
    while waiting:
        group = waiting.pop()
        for link in group:
            kind = group.links.get_info(link).type
            place = f"{h5py.h5i.get_name(group).decode()}/{link.decode('utf-8', 'replace')}".replace("//", "/")
            if kind == h5py.h5l.TYPE_SOFT:
                continue  # what it points to is found by another way, or is not there
            if kind != h5py.h5l.TYPE_HARD:
                raise Refused(f"has a link to another file, {place}: it is not followed")
            info = h5py.h5o.get_info(group, link)
            if (info.fileno, info.addr) in seen:
                continue
            seen.add((info.fileno, info.addr))
            if len(seen) > MOST_OBJECTS:
                raise Refused(f"has more than {MOST_OBJECTS} groups and datasets")
            thing = h5py.h5o.open(group, link)
            if isinstance(thing, h5py.h5g.GroupID):
                waiting.append(thing)
            elif isinstance(thing, h5py.h5d.DatasetID):
                _check_dataset(thing, place)


def _check_dataset(dataset: Any, place: str) -> None:
    how = dataset.get_create_plist()
    if how.get_layout() == h5py.h5d.VIRTUAL or how.get_external_count():
        raise Refused(f"keeps the voxels of {place} in other files: they are not read")
    if how.get_layout() != h5py.h5d.CHUNKED:
        return
    size = math.prod(how.get_chunk()) * dataset.get_type().get_size()
    if size > MOST_CHUNK_BYTES:
        raise Refused(f"has chunks of {size} bytes in {place}, the limit is {MOST_CHUNK_BYTES}")
    for at in range(how.get_nfilters()):
        number = how.get_filter(at)[0]
        if number not in FILTERS:
            known = ", ".join(FILTERS.values())
            raise Refused(f"needs the HDF5 filter {number} for {place}, known are {known}")


def _notes(file: h5py.File, tree: Tree) -> list[str]:
    notes = []
    for node in tree.nodes.values():
        group = file[node.path]
        for name in group:
            thing = group.get(name)
            if not isinstance(thing, h5py.Dataset):
                continue
            try:
                notes += [f"{thing.name}: {note}" for note in Volume(thing).notes]
            except Refused as error:
                notes.append(f"{thing.name} is left out: {error}")
    return notes


def main() -> None:
    """The process that looks through the file whose descriptor is the argument."""
    limit_memory(MEMORY_BYTES)
    print(json.dumps(_look_through(int(sys.argv[1]))))


if __name__ == "__main__":
    main()

"""The JSON that describes repositories, versions and instances, as DVID servers write it."""

from __future__ import annotations

from typing import Any

import h5py

from dvidclient.typenames import VOXELS_OF, has_any_channels
from mockserver.h5datafile import DataFile
from mockserver.h5errors import Refused
from mockserver.h5instances import TYPES, told_of, type_of
from mockserver.h5tree import Node, Repo
from mockserver.h5volume import Volume

# What clients cut their requests along; the chunks of a dataset may have any shape.
BLOCK = 32


def repos(data: DataFile) -> dict[str, Any]:
    """``/api/repos/info``: every repository by the UUID of its root."""
    return {repo.root.uuid: repo_info(data, repo) for repo in data.tree.repos.values()}


def repo_info(data: DataFile, repo: Repo) -> dict[str, Any]:
    """``/api/repo/{uuid}/info``."""
    root = repo.root.uuid
    numbers = {node.uuid: number for number, node in enumerate(repo.nodes, 1)}
    return {
        "Root": root,
        "Alias": repo.alias,
        "Description": repo.description,
        "Log": repo.log,
        "Properties": {},
        "DataInstances": _instances(data, repo),
        "DAG": {
            "Root": root,
            "Nodes": {node.uuid: _node(node, numbers) for node in repo.nodes},
        },
        "Created": repo.created or repo.root.created,
        "Updated": max([repo.created, *(node.created for node in repo.nodes)]),
    }


def datasets(data: DataFile) -> dict[str, Any]:
    """``/api/datasets/info``: the same in the words of the first servers."""
    listed = []
    for repo in data.tree.repos.values():
        info = repo_info(data, repo)
        listed.append({**info, "Nodes": info["DAG"]["Nodes"], "DataMap": info["DataInstances"]})
    return {"Datasets": listed}


def instance(data: DataFile, node: Node, name: str) -> dict[str, Any]:
    """``/api/node/{uuid}/{name}/info``.

    Raises:
        NotThere: there is none of the name.
        Refused: what is there cannot be served.
    """
    holder = data.holder(node, name)
    with_file = data.group(holder)
    return _instance(data.tree.repos[node.repo], name, with_file[name])


def metadata(volume: Volume) -> dict[str, Any]:
    """``/api/node/{uuid}/{name}/metadata``."""
    document = volume.metainfo.to_metadata()
    return {**document, "Properties": {**_extended(volume), **document["Properties"]}}


def type_urls(names: list[str]) -> dict[str, str]:
    """Types of instance, as ``/api/server/types`` lists them."""
    return {name: f"mockserver/{name}" for name in names}


def help_of(typename: str) -> str:
    """What ``/api/help/{type}`` says: the settings of a type and its routes."""
    if typename not in TYPES:
        return f"{typename}\n\nBytes by key.\n\nGET, POST, DELETE .../key/KEY; GET .../keys; GET .../info\n"
    dtype, channels = VOXELS_OF[typename]
    any_number = has_any_channels(typename)
    count = "Channels      Number of channels, 1 if not given.\n" if any_number else ""
    return (
        f"{typename}\n\nA volume of {dtype} with {channels if not any_number else 'any number of'} channels in an HDF5 file.\n\n"
        f"Settings of a new instance:\n\n{count}"
        "MinPoint      First voxel x,y,z; goes with MaxPoint.\nMaxPoint      Last voxel x,y,z.\n"
        "VoxelSize     Size of a voxel along x,y,z.\nVoxelUnits    Units of VoxelSize along x,y,z.\n"
        "Background    Value of voxels that were never written.\nTags          KEY=VALUE,KEY=VALUE\n\n"
        "GET, POST .../raw/0_1_2/SIZE/OFFSET; GET .../info, .../metadata; POST .../extents\n"
    )


def _instances(data: DataFile, repo: Repo) -> dict[str, Any]:
    found: dict[str, Any] = {}
    # The newest version tells the most: a volume that grew is larger there.
    for node in reversed(repo.nodes):
        group = data.group(node)
        for name in group:
            if name in found or name.endswith("~"):
                continue
            try:
                found[name] = _instance(repo, name, group[name])
            except (Refused, KeyError, OSError, RuntimeError):
                continue
    return found


def _instance(repo: Repo, name: str, thing: h5py.Dataset | h5py.Group) -> dict[str, Any]:
    volume = Volume(thing) if isinstance(thing, h5py.Dataset) else None
    told = told_of(thing)
    typename = type_of(thing, volume)
    base = {
        "TypeName": typename,
        "TypeURL": f"mockserver/{typename}",
        "TypeVersion": "1.0",
        "DataUUID": told["DataUUID"],
        "Name": name,
        "RepoUUID": repo.root.uuid,
        "Compression": "none",
        "Checksum": "none",
        "Syncs": [],
        "Versioned": True,
        "KVStore": "hdf5",
        "LogStore": "",
        "Tags": told["Tags"],
    }
    if volume is None:
        return {"Base": base, "Extended": {}}
    extended = _extended(volume)
    corners = {key: extended[key] for key in ("MinPoint", "MaxPoint")}
    return {"Base": base, "Extended": extended, "Extents": corners}


def _extended(volume: Volume) -> dict[str, Any]:
    info, box = volume.metainfo, volume.box
    steps = [info.resolution(axis) or (1.0, "") for axis in "xyz"]
    first = None if volume.is_empty else list(box.start_xyz)
    last = None if volume.is_empty else [stop - 1 for stop in box.stop_xyz]
    document = info.to_metadata()
    return {
        "Values": document["Properties"]["Values"],
        "Interpolable": info.dtype.name != "uint64",
        "BlockSize": [BLOCK] * 3,
        "VoxelSize": [size for size, _ in steps],
        "VoxelUnits": [unit for _, unit in steps],
        "MinPoint": first,
        "MaxPoint": last,
        "MinIndex": None if first is None else [at // BLOCK for at in first],
        "MaxIndex": None if last is None else [at // BLOCK for at in last],
        "Background": volume.background,
        "UnalignedWrites": True,
    }


def _node(node: Node, numbers: dict[str, int]) -> dict[str, Any]:
    return {
        "Branch": node.branch,
        "Note": node.note,
        "Log": node.log,
        "UUID": node.uuid,
        "VersionID": numbers[node.uuid],
        "Locked": not node.is_open,
        "Parents": [numbers[uuid] for uuid in node.parents],
        "Children": [numbers[uuid] for uuid in node.children],
        "Created": node.created,
        "Updated": node.created,
    }

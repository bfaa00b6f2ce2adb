"""A running server as the target of commands."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dvid.cli.target import Document, OpenLabels, OpenVolume, VolumeInfo, no_labels
from dvid.errors import BadRequest, UnknownNode
from dvid.geometry import Box
from dvidclient.connection import Connection, quoted
from dvidclient.volume_client import VolumeClient
from dvidclient.wire import from_zyxc


class ServerVolume:
    """A volume on a server."""

    def __init__(self, client: VolumeClient, info: VolumeInfo) -> None:
        self.info = info
        self._client = client

    def read(self, box: Box) -> NDArray[Any]:
        """The voxels of a box: (z, y, x), or (z, y, x, channel) where there are several channels."""
        info = self.info
        voxels_zyxc = np.empty((*box.shape_zyx, info.channels), info.dtype)
        axes, start, stop = self._place(box)
        self._client.retrieve_subvolume(start, stop, out=from_zyxc(voxels_zyxc, axes), workers=1)
        return voxels_zyxc if info.channels > 1 else voxels_zyxc[..., 0]

    def write(self, box: Box, voxels: NDArray[Any]) -> None:
        """Write the voxels of a box; all or nothing up to 16 MiB."""
        voxels_zyxc = voxels if self.info.channels > 1 else voxels[..., None]
        axes, start, stop = self._place(box)
        data = from_zyxc(voxels_zyxc.astype(self.info.dtype, copy=False), axes)
        self._client.modify_subvolume(start, stop, data, workers=1)

    def _place(self, box: Box) -> tuple[str, list[int], list[int]]:
        """The volume's axes, as its maker has ordered them, and the box's corners in this order."""
        axes: str = self._client.metainfo.axes
        low = {"c": 0, **dict(zip("zyx", box.start_zyx, strict=True))}
        high = {"c": self.info.channels, **dict(zip("zyx", box.stop_zyx, strict=True))}
        for axis in "zyx":
            if axis not in axes and (low[axis], high[axis]) != (0, 1):
                raise BadRequest(
                    f"the volume {self.info.name!r} has no axis {axis}: it was made with the axes {axes!r}"
                )
        return axes, [low[axis] for axis in axes], [high[axis] for axis in axes]


class ServerTarget:
    """A server that speaks the DVID HTTP API.

    Args:
        url: such as http://127.0.0.1:8000. Requests that need admin rights, and no others, carry the token of the
            variable DVID_ADMIN_TOKEN: an admin's writes go to committed nodes too, which nobody asked for here.

    Raises:
        BadArgument: it is no address of a server.
    """

    def __init__(self, url: str) -> None:
        self._connection = Connection(url, retries=0)
        self._admin = Connection(url, retries=0, token=os.environ.get("DVID_ADMIN_TOKEN"))
        self.name = self._connection.base_url
        self.option = f"--server {shlex.quote(url)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()
        self._admin.close()

    def _ask(self, method: str, path: str, what: str, document: object = None, *, admin: bool = False) -> Any:
        """The JSON that the server answers; of a change what it says, if anything."""
        connection = self._admin if admin else self._connection
        if method == "GET":
            return connection.ask(path, what, document=document)
        return connection.tell(path, what, document=document, method=method)

    def repos(self) -> dict[str, Document]:
        """All repos by UUID, as GET /api/repos/info describes them."""
        found: dict[str, Document] = self._ask("GET", "/api/repos/info", "listing the repos") or {}
        return found

    def node(self, selector: str) -> str:
        """The UUID of the node that a selector names."""
        uuid, _, branch = selector.partition(":")
        about = f"looking for node {selector!r}"
        if branch or not uuid:
            name, _, steps = branch.partition("~")
            path = f"/api/repo/{quoted(uuid or selector, 'uuid')}/branch-versions/{quoted(name or 'master', 'branch')}"
            chain: list[str] = self._ask("GET", path, about) or []
            number = int(steps) if steps.isdecimal() else 0
            if number >= len(chain):
                raise UnknownNode(f"{selector!r} names no node: the branch has {len(chain)} nodes")
            return chain[number]
        info = self._ask("GET", f"/api/repo/{quoted(uuid, 'uuid')}/info", about)
        nodes: dict[str, Document] = info["DAG"]["Nodes"]
        if uuid in nodes:
            return uuid
        found = [known for known in nodes if known.startswith(uuid)]
        if len(found) != 1:
            raise UnknownNode(f"{selector!r} is the beginning of {len(found)} UUIDs: give one more of it")
        return found[0]

    def make_repo(self, alias: str, description: str, passcode: str) -> str:
        """Make a repo; the UUID of its root."""
        body = {"alias": alias, "description": description, **({"passcode": passcode} if passcode else {})}
        return str(self._ask("POST", "/api/repos", f"making the repo {alias!r}", body, admin=True)["root"])

    def delete_repo(self, uuid: str, passcode: str) -> None:
        """Delete a repo with all its data."""
        query = "?imsure=true" + (f"&passcode={quoted(passcode, 'passcode')}" if passcode else "")
        self._ask("DELETE", f"/api/repo/{quoted(uuid, 'uuid')}{query}", f"deleting the repo {uuid!r}", admin=True)

    def make_instance(self, uuid: str, typename: str, name: str, settings: Mapping[str, str]) -> None:
        """Make a data instance on an open node."""
        body = {**settings, "typename": typename, "dataname": name}
        self._ask("POST", f"/api/repo/{quoted(uuid, 'uuid')}/instance", f"making the instance {name!r}", body)

    def rename_instance(self, uuid: str, name: str, new_name: str) -> None:
        """Give an instance another name."""
        self._ask(
            "POST", f"{_instance(uuid, name)}/rename", f"renaming the instance {name!r}", {"name": new_name}, admin=True
        )

    def delete_instance(self, uuid: str, name: str) -> None:
        """Delete an instance with all its data."""
        self._ask("DELETE", f"{_instance(uuid, name)}?imsure=true", f"deleting the instance {name!r}", admin=True)

    def commit(self, uuid: str, note: str) -> str:
        """Lock a node; its UUID."""
        body = {"note": note} if note else {}
        return str(self._ask("POST", f"{_node(uuid)}/commit", f"committing node {uuid!r}", body)["committed"])

    def new_version(self, uuid: str, note: str) -> str:
        """Make an open child on the same branch; its UUID."""
        about = f"making a child of node {uuid!r}"
        return str(self._ask("POST", f"{_node(uuid)}/newversion", about, {"note": note})["child"])

    def branch(self, uuid: str, name: str, note: str) -> str:
        """Make an open child on a new branch; its UUID."""
        about = f"making the branch {name!r} at node {uuid!r}"
        return str(self._ask("POST", f"{_node(uuid)}/branch", about, {"branch": name, "note": note})["child"])

    def tag(self, uuid: str, name: str) -> str:
        """Give a committed node a name; the UUID of the tag's node."""
        return str(self._ask("POST", f"{_node(uuid)}/tag", f"tagging node {uuid!r}", {"tag": name})["child"])

    def has_instance(self, uuid: str, name: str) -> bool:
        """Whether the repo of a node has an instance of that name."""
        about = f"looking for the instance {name!r}"
        return name in self._ask("GET", f"/api/repo/{quoted(uuid, 'uuid')}/info", about)["DataInstances"]

    def volume(self, uuid: str, name: str) -> OpenVolume:
        """A volume of images or labels at a node."""
        info = self._info(uuid, name)
        if info.is_labels:
            return self.labels(uuid, name)
        return ServerVolume(VolumeClient(self.name, uuid, name), info)

    def labels(self, uuid: str, name: str) -> OpenLabels:
        """A segmentation at a node."""
        from dvid.cli.remote_labels import ServerLabels

        info = self._info(uuid, name)
        if not info.is_labels:
            raise no_labels(info)
        return ServerLabels(self._connection, self._admin, f"{_node(uuid)}/{quoted(name, 'name')}", info)

    def _info(self, uuid: str, name: str) -> VolumeInfo:
        return VolumeInfo.of(self._ask("GET", f"{_node(uuid)}/{quoted(name, 'name')}/info", f"opening {name!r}"))

    def size(self) -> str:
        """Servers do not tell it quickly: nothing."""
        return ""


def _node(uuid: str) -> str:
    return f"/api/node/{quoted(uuid, 'uuid')}"


def _instance(uuid: str, name: str) -> str:
    return f"/api/repo/{quoted(uuid, 'uuid')}/instance/{quoted(name, 'name')}"

"""A store as the target of commands: the operations that the server runs, run here."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from functools import partial
from typing import Any, Self

import msgspec
from numpy.typing import NDArray

from dvid.background import sweep
from dvid.cli.target import Document, OpenLabels, OpenVolume, VolumeInfo, no_labels
from dvid.database import Database
from dvid.datatypes.base import describe
from dvid.datatypes.imageblk.volume import Volume
from dvid.errors import StoreUnusable
from dvid.geometry import Box
from dvid.http import documents
from dvid.storage import open_store
from dvid.storage.protocol import Transaction
from dvid.versions import instances, nodes, repos
from dvid.versions.catalogue import Directory
from dvid.versions.records import InstanceRecord


class StoreVolume:
    """A volume of a store."""

    def __init__(self, volume: Volume, info: VolumeInfo) -> None:
        self.info = info
        self._volume = volume

    def read(self, box: Box) -> NDArray[Any]:
        """The voxels of a box: (z, y, x), or (z, y, x, channel) where there are several channels."""
        return self._volume.read(box)

    def write(self, box: Box, voxels: NDArray[Any]) -> None:
        """Write the voxels of a box, all or nothing."""
        self._volume.write(box, voxels)


class StoreTarget:
    """A store in a folder.

    Args:
        path: of the folder.
        read_only: refuse writes.
        create: make a store where there is none.

    Raises:
        StoreUnusable: the folder is not a store.
    """

    def __init__(self, path: str, *, read_only: bool = False, create: bool = False) -> None:
        if not create:
            if not os.path.isdir(path):
                raise StoreUnusable(f"{path} is not a folder")
            open_store(path, read_only=True).close()  # refuses what is not a store
        self.name = os.path.abspath(path)
        self.option = f"--data {shlex.quote(path)}"
        self._database = Database.open(path, read_only=read_only)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store."""
        self._database.close()

    def repos(self) -> dict[str, Document]:
        """All repos by UUID, as GET /api/repos/info describes them."""
        with self._database.read_all() as (snapshots, directory):
            found: dict[str, Document] = msgspec.json.decode(documents.all_repos(snapshots, directory))
        return found

    def node(self, selector: str) -> str:
        """The UUID of the node that a selector names."""
        with self._database.read() as (snapshot, directory):
            return directory.node(snapshot, selector).record.uuid

    def make_repo(self, alias: str, description: str, passcode: str) -> str:
        """Make a repo; the UUID of its root."""
        return self._database.transact(
            lambda tx, _: repos.create_repo(tx, alias=alias, description=description, passcode=passcode)
        ).root_uuid

    def delete_repo(self, uuid: str, passcode: str) -> None:
        """Delete a repo with all its data."""

        def delete(transaction: Transaction, directory: Directory) -> None:
            repo = directory.repo(transaction, directory.node(transaction, uuid).record.repo)
            repos.delete_repo(transaction, repo, passcode)

        self._database.transact(delete)
        self._sweep()

    def make_instance(self, uuid: str, typename: str, name: str, settings: Mapping[str, str]) -> None:
        """Make a data instance on an open node."""
        given = {**settings, "typename": typename, "dataname": name}
        self._database.create_instance(uuid, given)

    def rename_instance(self, uuid: str, name: str, new_name: str) -> None:
        """Give an instance another name."""
        self._database.transact(
            lambda tx, directory: instances.rename_instance(tx, _instance(tx, directory, uuid, name), new_name) and None
        )

    def delete_instance(self, uuid: str, name: str) -> None:
        """Delete an instance with all its data."""
        self._database.transact(
            lambda tx, directory: instances.delete_instance(tx, _instance(tx, directory, uuid, name))
        )
        self._sweep()

    def _sweep(self) -> None:
        while sweep(self._database):
            pass

    def commit(self, uuid: str, note: str) -> str:
        """Lock a node; its UUID."""
        return self._database.commit(uuid, note=note)

    def new_version(self, uuid: str, note: str) -> str:
        """Make an open child on the same branch; its UUID."""
        return self._database.transact(
            lambda tx, directory: nodes.new_version(tx, directory.node(tx, uuid).record, note=note)
        ).uuid

    def branch(self, uuid: str, name: str, note: str) -> str:
        """Make an open child on a new branch; its UUID."""
        return self._database.transact(
            lambda tx, directory: nodes.branch(tx, directory.node(tx, uuid).record, name=name, note=note)
        ).uuid

    def tag(self, uuid: str, name: str) -> str:
        """Give a committed node a name; the UUID of the tag's node."""
        return self._database.transact(
            lambda tx, directory: nodes.tag(tx, directory.node(tx, uuid).record, name=name)
        ).uuid

    def has_instance(self, uuid: str, name: str) -> bool:
        """Whether the repo of a node has an instance of that name."""
        with self._database.read() as (snapshot, directory):
            records = instances.list_instances(snapshot, directory.node(snapshot, uuid).record.repo)
        return any(record.name == name for record in records)

    def volume(self, uuid: str, name: str) -> OpenVolume:
        """A volume of images or labels at a node."""
        info = self._info(uuid, name)
        if info.is_labels:
            return self.labels(uuid, name)
        return StoreVolume(Volume(self._database, uuid, name), info)

    def labels(self, uuid: str, name: str) -> OpenLabels:
        """A segmentation at a node."""
        from dvid.cli.local_labels import StoreLabels

        info = self._info(uuid, name)
        if not info.is_labels:
            raise no_labels(info)
        return StoreLabels(self._database, uuid, info)

    def _info(self, uuid: str, name: str) -> VolumeInfo:
        with self._database.view(uuid, name) as view:
            return VolumeInfo.of(describe(view))

    def largest_labels(self, uuid: str, name: str, *, commit: bool) -> list[tuple[str, int | None, int | None]]:
        """The largest labels of a segmentation that are noted, and those that there are: of each version, and of all.

        Args:
            uuid: of any node of its repo.
            name: of the instance.
            commit: note those that there are, where others are noted.

        Returns:
            UUID, noted and found; None where there is no label. The last one is of all versions.
        """
        from dvid.datatypes.labelmap.arguments import need_index
        from dvid.labels import largest

        self.labels(uuid, name)  # refuses what is no segmentation
        with self._database.view(uuid, name) as view, self._database.read() as (snapshot, directory):
            need_index(view)
            repo = directory.repo(snapshot, view.node.repo)
            uuids = {node.version: node.uuid for node in nodes.list_nodes(snapshot, repo)}
            compared = largest.compare_largest(view, sorted(uuids))
        for one in compared:
            if not commit or one.found is None or one.found == one.noted:
                continue
            if one.version is None:
                self._database.edit(uuid, name, partial(largest.correct_all, found=one.found), unlocked=True)
            else:
                correct = partial(largest.correct_version, found=one.found)
                self._database.edit(uuids[one.version], name, correct, unlocked=True)
        return [(uuids.get(one.version or 0, "all versions"), one.noted, one.found) for one in compared]

    def size(self) -> str:
        """How much room the store takes."""
        from dvid.cli.output import in_bytes

        size = self._database.store.size()
        return f"{in_bytes(size.used)} in {size.entries} entries; the file has {in_bytes(size.file)}"


def _instance(transaction: Transaction, directory: Directory, uuid: str, name: str) -> InstanceRecord:
    return directory.instance(transaction, directory.node(transaction, uuid).record.repo, name)

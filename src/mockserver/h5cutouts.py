"""The routes of volumes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import falcon
import numpy as np

from dvidclient.boxes import Box
from mockserver import h5documents, h5instances, h5pictures
from mockserver.h5answers import BINARY, Answers, answer, plain, say
from mockserver.h5errors import Refused
from mockserver.h5requests import MOST_JSON_BYTES, Cutout, cutout, json_object, point, three_sizes
from mockserver.h5volume import Volume

METADATA_TYPE = "application/vnd.dvid-nd-data+json"
# Images are made in memory, several times their size.
MOST_PICTURE_BYTES = 128 << 20
SENT_BYTES = 1 << 20


class Cutouts(Answers):
    """Answers requests; the names of the methods are those of ``h5routes.ROUTES``."""

    def on_get_instance_info(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str) -> None:
        """What an instance is."""
        with self.data.reading(f"describing {name!r}"):
            document = h5documents.instance(self.data, self.node(uuid), plain(name))
        answer(resp, document)

    def on_get_metadata(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str) -> None:
        """Shape, type and axes of a volume."""
        with self.data.reading(f"describing {name!r}"):
            volume = self.data.volume(self.node(uuid), plain(name))
            document = h5documents.metadata(volume)
        answer(resp, document, METADATA_TYPE)

    def on_get_help_of(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str) -> None:
        """The settings of the type of an instance."""
        with self.data.reading(f"describing {name!r}"):
            document = h5documents.instance(self.data, self.node(uuid), plain(name))
        say(resp, h5documents.help_of(document["Base"]["TypeName"]))

    def on_get_tags(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str) -> None:
        """The tags of an instance."""
        with self.data.reading(f"describing {name!r}"):
            document = h5documents.instance(self.data, self.node(uuid), plain(name))
        answer(resp, {"Tags": document["Base"]["Tags"]})

    def on_post_tags(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str) -> None:
        """Adds tags to an instance, or replaces them."""
        tags = json_object(self.body(req, MOST_JSON_BYTES), "the tags")
        with self.data.writing(f"writing the tags of {name!r}"):
            h5instances.set_tags(
                self.data, self.node(uuid), plain(name), tags, replace=req.get_param("replace") == "true"
            )
        say(resp, "")

    def on_post_resolution(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str) -> None:
        """Sets the size of a voxel along x, y and z; the units stay."""
        sizes = three_sizes(self.body(req, MOST_JSON_BYTES))
        with self.data.writing(f"writing the voxel size of {name!r}"):
            h5instances.own_volume(self.data, self.node(uuid), plain(name)).set_voxel_size(sizes)
        say(resp, "")

    def on_post_extents(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str) -> None:
        """Makes a volume reach over a box."""
        document = json_object(self.body(req, MOST_JSON_BYTES), "the extents")
        wanted = h5instances.extents(point(document, "MinPoint"), point(document, "MaxPoint"))
        with self.data.writing(f"setting the extents of {name!r}"):
            h5instances.own_volume(self.data, self.node(uuid), plain(name)).set_extents(wanted)
        say(resp, "")

    def on_get_raw(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        uuid: str,
        name: str,
        dims: str,
        size: str,
        offset: str,
        form: str = "",
    ) -> None:
        """Voxels of a box, or an image of them."""
        compression = self._compression(req)
        wanted = cutout(dims, size, offset)
        form = plain(form) or ("png" if len(wanted.axes) == 2 else "octet-stream")
        encoded = compression or form != "octet-stream"
        voxels = None
        with self.data.reading(f"reading {wanted.box} of {name!r}", much=wanted.is_much):
            volume = self.data.volume(self.node(uuid), plain(name))
            most = min(self.most_bytes, MOST_PICTURE_BYTES) if encoded else self.most_bytes
            self._check_size(wanted.box, volume, most)
            info, slabs = volume.metainfo, [wanted.box] if encoded else list(volume.slabs(wanted.box))
            if len(list(volume.pieces(slabs[0]))) == 1:
                voxels = volume.read(slabs[0])
        if voxels is None:
            voxels = self._read(uuid, plain(name), slabs[0], much=wanted.is_much)
        if compression:
            if info.channels != 1:
                raise Refused(f"compressed segmentation holds one channel, not {info.channels}")
            resp.data, resp.content_type = h5pictures.compressed_segmentation(voxels[..., 0]), BINARY
            resp.set_header("Content-Encoding", "gzip")
        elif encoded:
            resp.data, resp.content_type = h5pictures.picture(_pixels(voxels, wanted), form)
        else:
            resp.content_type = BINARY
            resp.set_stream(
                self._stream(uuid, plain(name), voxels, slabs[1:], much=wanted.is_much),  # type: ignore[arg-type]  # any buffers do
                wanted.box.voxels * info.channels * info.dtype.itemsize,
            )

    def on_post_raw(
        self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, dims: str, size: str, offset: str
    ) -> None:
        """Stores the voxels of a box."""
        if self._compression(req):
            raise Refused("compression: voxels are taken uncompressed only")
        wanted = cutout(dims, size, offset)
        with self.data.writing(f"writing {wanted.box} of {name!r}"):
            volume = self.data.volume(self.node(uuid), plain(name))
            self._check_size(wanted.box, volume, self.most_bytes)
            expected = wanted.box.voxels * volume.voxel_bytes
            if req.content_length != expected:
                raise Refused(f"expected {expected} bytes of voxels for {wanted.box}, got {req.content_length or 0}")
            # Only now: the first write at a version copies the volume of its parent.
            volume = h5instances.own_volume(self.data, self.node(uuid), plain(name)).set_extents(wanted.box)
            for slab in volume.slabs(wanted.box):
                body = req.bounded_stream.read(slab.voxels * volume.voxel_bytes)
                x, y, z = slab.size_xyz
                wire = volume.metainfo.dtype.newbyteorder("<")
                volume.write(slab, np.frombuffer(body, wire).reshape(z, y, x, volume.metainfo.channels))
        say(resp, "")

    def on_get_early_raw(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        uuid: str,
        name: str,
        first: str,
        size: str,
        offset: str,
        form: str = "",
    ) -> None:
        """As ``raw``; slices are voxels, where no format is asked for."""
        # Slices were voxels, not images, where it was not said what they should be.
        self.on_get_raw(req, resp, uuid, name, first, size, offset, form or "octet-stream")

    def on_post_early_raw(
        self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, first: str, size: str, offset: str
    ) -> None:
        """As ``raw``."""
        self.on_post_raw(req, resp, uuid, name, first, size, offset)

    def _stream(
        self, uuid: str, name: str, first: np.ndarray[Any, Any], others: list[Box], *, much: bool
    ) -> Iterator[memoryview]:
        """The voxels of an answer, no more of them in memory than a slab."""
        voxels = first
        while True:
            buffer = voxels.reshape(-1).view(np.uint8).data
            for at in range(0, len(buffer), SENT_BYTES):
                yield buffer[at : at + SENT_BYTES]
            if not others:
                return
            del buffer, voxels
            voxels = self._read(uuid, name, others.pop(0), much=much)

    def _read(self, uuid: str, name: str, box: Box, *, much: bool) -> np.ndarray[Any, Any]:
        """The voxels (z, y, x, c) of a box, read in pieces: others come in between."""
        with self.data.reading(doing := f"reading {box} of {name!r}", much=much):
            volume = self.data.volume(self.node(uuid), name)
            pieces, info = list(volume.pieces(box)), volume.metainfo
        voxels_zyxc = np.empty((*box.size_xyz[::-1], info.channels), info.dtype.newbyteorder("<"))
        for piece in pieces:
            with self.data.reading(doing, much=much):
                # Asked for anew each time: a write in between may have put the volume into another dataset.
                voxels_zyxc[piece.within_zyx(box)] = self.data.volume(self.node(uuid), name).read(piece)
        return voxels_zyxc

    def _check_size(self, box: Box, volume: Volume, most: int) -> None:
        size = box.voxels * volume.voxel_bytes
        if size > most:
            raise Refused(f"the box {box} has {size} bytes, the limit is {most}", 413)

    def _compression(self, req: falcon.Request) -> bool:
        if req.get_param("roi"):
            raise Refused("roi: there are no regions of interest here")
        if (req.get_param("scale") or "0") != "0":
            raise Refused("scale: volumes have scale 0 only here")
        wanted = req.get_param("compression") or ""
        if wanted not in ("", "googlegzip"):
            raise Refused(f"compression: only googlegzip is known here, got {wanted!r}")
        return bool(wanted)


def _pixels(voxels_zyxc: np.ndarray[Any, Any], wanted: Cutout) -> np.ndarray[Any, Any]:
    """Rows, columns, channels; the planes of a volume one below the other, as Neuroglancer reads them."""
    if wanted.axes == "xyz":
        z, y, x, c = voxels_zyxc.shape
        return voxels_zyxc.reshape(z * y, x, c)
    row_column_channel: np.ndarray[Any, Any] = voxels_zyxc.take(0, axis={"xy": 0, "xz": 1, "yz": 2}[wanted.axes])
    return row_column_channel

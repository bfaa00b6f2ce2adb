"""The routes of the server: today's DVID HTTP API, and that of 2013."""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import falcon
import numpy as np

from mockserver import h5documents, h5instances, h5pictures
from mockserver.h5datafile import DataFile
from mockserver.h5errors import NotThere, Refused
from mockserver.h5requests import (
    MOST_JSON_BYTES,
    MOST_REQUEST_BYTES,
    Cutout,
    cutout,
    json_object,
    point,
    text_field,
)
from mockserver.h5tree import Node, Repo, add_node, add_repo, new_uuid, save_node
from mockserver.h5volume import Volume

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

# Each route, and the methods of ``Routes`` that answer it: on_get_NAME, on_post_NAME, on_delete_NAME.
ROUTES = {
    "/api/server/info": "server_info",
    "/api/server/types": "types",
    "/api/server/compiled-types": "types",
    "/api/help/{typename}": "help",
    "/api/repos": "repos",
    "/api/repos/info": "repos_info",
    "/api/repo/{uuid}/info": "repo_info",
    "/api/repo/{uuid}/instance": "new_instance",
    "/api/node/{uuid}/commit": "commit",
    "/api/node/{uuid}/newversion": "newversion",
    "/api/node/{uuid}/branch": "branch",
    "/api/node/{uuid}/status": "status",
    "/api/node/{uuid}/note": "note",
    "/api/node/{uuid}/log": "log",
    "/api/node/{uuid}/{name}/info": "instance_info",
    "/api/node/{uuid}/{name}/metadata": "metadata",
    "/api/node/{uuid}/{name}/schema": "metadata",
    "/api/node/{uuid}/{name}/extents": "extents",
    "/api/node/{uuid}/{name}/raw/{dims}/{size}/{offset}": "raw",
    "/api/node/{uuid}/{name}/raw/{dims}/{size}/{offset}/{form}": "raw",
    "/api/node/{uuid}/{name}/keys": "keys",
    "/api/node/{uuid}/{name}/key/{key}": "key",
    "/api/datasets/info": "datasets_info",
    "/api/datasets/list": "datasets_list",
    "/api/dataset/{uuid}/new/{typename}/{name}": "new_early",
    # The names of these are alike because a router has one name for one place of a path.
    "/api/node/{uuid}/{name}/{first}": "early_key",
    "/api/node/{uuid}/{name}/{first}/{size}/{offset}": "early_raw",
    "/api/node/{uuid}/{name}/{first}/{size}/{offset}/{form}": "early_raw",
}
METADATA_TYPE = "application/vnd.dvid-nd-data+json"
BINARY = "application/octet-stream"


def application(data: DataFile, most_bytes: int = MOST_REQUEST_BYTES) -> Wsgi:
    """The server of a file, as a WSGI application.

    Args:
        data: the file.
        most_bytes: the most bytes of voxels or of a value in one request or answer.
    """
    app = falcon.App(middleware=[_EveryAnswer()])
    app.req_options.keep_blank_qs_values = True
    routes = Routes(data, most_bytes)
    for path, name in ROUTES.items():
        app.add_route(path, routes, suffix=name)
    app.add_sink(routes.nothing)
    app.add_error_handler(Refused, _refused)
    app.add_error_handler(falcon.HTTPError, _http_error)
    app.add_error_handler(Exception, _failed)

    def with_whole_segments(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        # A '/' that is part of a key comes as %2F, which only the path as it was sent tells from one between segments.
        if uri := environ.get("REQUEST_URI"):
            path = uri.partition("?")[0].partition("#")[0]
            environ["PATH_INFO"] = urllib.parse.urlsplit(path).path if "://" in path else path
        if environ["REQUEST_METHOD"] == "HEAD":
            environ["REQUEST_METHOD"] = "GET"
        answer: Iterable[bytes] = app(environ, start_response)
        return answer

    return with_whole_segments


class Routes:
    """Answers requests; the names of the methods are those of ``ROUTES``."""

    def __init__(self, data: DataFile, most_bytes: int) -> None:
        self._data = data
        self._most = most_bytes
        self._begun = time.monotonic()

    # The server

    def on_get_server_info(self, req: falcon.Request, resp: falcon.Response) -> None:
        seconds = int(time.monotonic() - self._begun)
        _answer(
            resp,
            {
                "DVID Version": "v1.0 (mockserver)",
                "Datastore Version": "1.0",
                "Storage backend": "hdf5",
                "Cores": str(os.cpu_count()),
                "Maximum Cores": str(os.cpu_count()),
                "Server uptime": f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}",
                "Host": socket.gethostname(),
                "File": self._data.path.name,
                "Mode": "read-only" if self._data.read_only else "read and write",
            },
        )

    def on_get_types(self, req: falcon.Request, resp: falcon.Response) -> None:
        _answer(resp, h5documents.type_urls([*h5instances.TYPES, h5instances.KEYVALUE]))

    def on_get_help(self, req: falcon.Request, resp: falcon.Response, typename: str) -> None:
        if typename not in (*h5instances.TYPES, h5instances.KEYVALUE):
            raise NotThere(f"there is no type {typename!r}")
        _say(resp, h5documents.help_of(typename))

    def nothing(self, req: falcon.Request, resp: falcon.Response) -> None:
        raise NotThere(f"there is no path {req.path!r} here")

    # Repositories and versions

    def on_post_repos(self, req: falcon.Request, resp: falcon.Response) -> None:
        settings = json_object(self._body(req, MOST_JSON_BYTES), "the settings")
        alias, root = text_field(settings, "alias"), text_field(settings, "root")
        with self._data.writing("creating a repository") as file:
            uuid = root or new_uuid()
            name = alias.replace("/", "_") or uuid
            if name in self._data.tree.repos:
                name = f"{name}-{uuid[:8]}"
            if uuid in self._data.tree.nodes:
                raise Refused(f"there is a node {uuid!r} already", 409)
            add_repo(file, name, text_field(settings, "description"))
            add_node(file, Node(uuid, name))
        _answer(resp, {"root": uuid})

    def on_get_repos_info(self, req: falcon.Request, resp: falcon.Response) -> None:
        with self._data.reading("listing repositories"):
            document = h5documents.repos(self._data)
        _answer(resp, document)

    def on_get_repo_info(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        with self._data.reading("describing a repository"):
            document = h5documents.repo_info(self._data, self._repo(uuid))
        _answer(resp, document)

    def on_get_datasets_info(self, req: falcon.Request, resp: falcon.Response) -> None:
        with self._data.reading("listing datasets"):
            document = h5documents.datasets(self._data)
        _answer(resp, document)

    def on_get_datasets_list(self, req: falcon.Request, resp: falcon.Response) -> None:
        with self._data.reading("listing datasets"):
            roots = [repo.root.uuid for repo in self._data.tree.repos.values()]
        _answer(resp, {"DatasetsUUID": roots})

    def on_post_new_instance(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        settings = json_object(self._body(req, MOST_JSON_BYTES), "the settings")
        self._create(resp, uuid, text_field(settings, "typename"), text_field(settings, "dataname"), settings)

    def on_post_new_early(
        self, req: falcon.Request, resp: falcon.Response, uuid: str, typename: str, name: str
    ) -> None:
        settings = json_object(self._body(req, MOST_JSON_BYTES), "the settings")
        self._create(resp, uuid, typename, _plain(name), settings)

    def on_post_commit(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        document = json_object(self._body(req, MOST_JSON_BYTES), "the note")
        with self._data.writing(f"committing {uuid!r}") as file:
            node = self._node(uuid)
            if not node.is_open:
                raise Refused(f"node {node.uuid!r} is committed already")
            node.locked = True
            node.note = text_field(document, "note") or node.note
            log = document.get("log", [])
            if not isinstance(log, list) or not all(isinstance(line, str) for line in log):
                raise Refused(f"log: expected a list of texts, got {log!r}")
            node.log += log
            save_node(file, node)
        _answer(resp, {"committed": node.uuid})

    def on_post_newversion(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        self._new_version(req, resp, uuid, on_branch=False)

    def on_post_branch(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        self._new_version(req, resp, uuid, on_branch=True)

    def on_get_status(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        _answer(resp, {"Locked": not self._node(uuid).is_open})

    def on_get_note(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        _answer(resp, {"note": self._node(uuid).note})

    def on_get_log(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        _answer(resp, {"log": self._node(uuid).log})

    # Volumes

    def on_get_instance_info(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str) -> None:
        with self._data.reading(f"describing {name!r}"):
            document = h5documents.instance(self._data, self._node(uuid), _plain(name))
        _answer(resp, document)

    def on_get_metadata(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str) -> None:
        with self._data.reading(f"describing {name!r}"):
            volume = h5instances.volume_at(self._data, self._node(uuid), _plain(name))
            document = h5documents.metadata(volume)
        _answer(resp, document, METADATA_TYPE)

    def on_post_extents(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str) -> None:
        document = json_object(self._body(req, MOST_JSON_BYTES), "the extents")
        wanted = h5instances.extents(point(document, "MinPoint"), point(document, "MaxPoint"))
        with self._data.writing(f"setting the extents of {name!r}"):
            h5instances.own_volume(self._data, self._node(uuid), _plain(name)).set_extents(wanted)
        _say(resp, "")

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
        compression = self._compression(req)
        wanted = cutout(dims, size, offset)
        form = _plain(form) or ("png" if len(wanted.axes) == 2 else "octet-stream")
        with self._data.reading(f"reading {wanted.box} of {name!r}"):
            volume = h5instances.volume_at(self._data, self._node(uuid), _plain(name))
            self._check_size(wanted, volume)
            if compression:
                labels = volume.read(wanted.box)[..., 0]
            elif form != "octet-stream":
                pixels = _pixels(volume.read(wanted.box), wanted)
        if compression:
            resp.data, resp.content_type = h5pictures.compressed_segmentation(labels), BINARY
            resp.set_header("Content-Encoding", "gzip")
        elif form != "octet-stream":
            resp.data, resp.content_type = h5pictures.picture(pixels, form)
        else:
            resp.content_type = BINARY
            pieces = self._pieces(uuid, _plain(name), wanted, volume)
            resp.set_stream(_Stream(pieces), wanted.box.voxels * volume.voxel_bytes)

    def on_post_raw(
        self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, dims: str, size: str, offset: str
    ) -> None:
        if self._compression(req):
            raise Refused("compression: voxels are taken uncompressed only")
        wanted = cutout(dims, size, offset)
        with self._data.writing(f"writing {wanted.box} of {name!r}"):
            volume = h5instances.own_volume(self._data, self._node(uuid), _plain(name))
            self._check_size(wanted, volume)
            expected = wanted.box.voxels * volume.voxel_bytes
            if req.content_length != expected:
                raise Refused(f"expected {expected} bytes of voxels for {wanted.box}, got {req.content_length or 0}")
            volume = volume.set_extents(wanted.box)
            for slab in volume.slabs(wanted.box):
                body = req.bounded_stream.read(slab.voxels * volume.voxel_bytes)
                x, y, z = slab.size_xyz
                wire = volume.metainfo.dtype.newbyteorder("<")
                volume.write(slab, np.frombuffer(body, wire).reshape(z, y, x, volume.metainfo.channels))
        _say(resp, "")

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
        # Slices were voxels, not images, where it was not said what they should be.
        self.on_get_raw(req, resp, uuid, name, first, size, offset, form or "octet-stream")

    def on_post_early_raw(
        self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, first: str, size: str, offset: str
    ) -> None:
        self.on_post_raw(req, resp, uuid, name, first, size, offset)

    # Key-values

    def on_get_keys(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str) -> None:
        with self._data.reading(f"listing the keys of {name!r}"):
            found = h5instances.keys_at(self._data, self._node(uuid), _plain(name))
        _answer(resp, found)

    def on_get_key(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, key: str) -> None:
        with self._data.reading(f"reading a key of {name!r}"):
            resp.data = h5instances.value_at(self._data, self._node(uuid), _plain(name), _plain(key))
        resp.content_type = BINARY

    def on_post_key(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, key: str) -> None:
        value = self._body(req, self._most)
        with self._data.writing(f"writing a key of {name!r}"):
            h5instances.set_value(self._data, self._node(uuid), _plain(name), _plain(key), value)
        _say(resp, "")

    def on_delete_key(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, key: str) -> None:
        with self._data.writing(f"deleting a key of {name!r}"):
            h5instances.delete_key(self._data, self._node(uuid), _plain(name), _plain(key))
        _say(resp, "")

    def on_get_early_key(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, first: str) -> None:
        self.on_get_key(req, resp, uuid, name, first)

    def on_post_early_key(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, first: str) -> None:
        self.on_post_key(req, resp, uuid, name, first)

    def on_delete_early_key(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, first: str) -> None:
        self.on_delete_key(req, resp, uuid, name, first)

    # Helpers

    def _node(self, text: str) -> Node:
        return self._data.tree.find(_plain(text))

    def _repo(self, text: str) -> Repo:
        return self._data.tree.repos[self._node(text).repo]

    def _create(self, resp: falcon.Response, uuid: str, typename: str, name: str, settings: dict[str, Any]) -> None:
        node = self._node(uuid)
        h5instances.create(self._data, node, typename, name, settings)
        _answer(resp, {"result": f"made {typename} instance {name} at node {node.uuid}"})

    def _new_version(self, req: falcon.Request, resp: falcon.Response, uuid: str, *, on_branch: bool) -> None:
        document = json_object(self._body(req, MOST_JSON_BYTES), "the note")
        with self._data.writing(f"making a version after {uuid!r}") as file:
            parent = self._node(uuid)
            if not parent.locked:
                raise Refused(f"node {parent.uuid!r} is not committed yet: POST .../commit first")
            branch = text_field(document, "branch") if on_branch else parent.branch
            taken = {self._data.tree.nodes[child].branch for child in parent.children}
            every = {node.branch for node in self._data.tree.repos[parent.repo].nodes}
            if on_branch and (branch in every or branch in ("", "master")):
                raise Refused(f"branch: expected a name that no branch of the repository has, got {branch!r}")
            if branch in taken:
                raise Refused(f"node {parent.uuid!r} has a child on its branch already: POST .../branch makes others")
            child = Node(text_field(document, "uuid") or new_uuid(), parent.repo, [parent.uuid], branch=branch)
            child.note = text_field(document, "note")
            if child.uuid in self._data.tree.nodes:
                raise Refused(f"there is a node {child.uuid!r} already", 409)
            add_node(file, child)
        _answer(resp, {"child": child.uuid})

    def _pieces(self, uuid: str, name: str, wanted: Cutout, volume: Volume) -> Iterator[bytes]:
        """The voxels of an answer, no more of them in memory than a slab."""
        for slab in volume.slabs(wanted.box):
            with self._data.reading(f"reading {slab} of {name!r}"):
                # Opened anew each time: a write in between may have put the volume into another dataset.
                voxels = h5instances.volume_at(self._data, self._node(uuid), name).read(slab)
            yield memoryview(voxels.reshape(-1).view(np.uint8))  # type: ignore[misc]

    def _check_size(self, wanted: Cutout, volume: Volume) -> None:
        size = wanted.box.voxels * volume.voxel_bytes
        if size > self._most:
            raise Refused(f"the box {wanted.box} has {size} bytes, the limit is {self._most}", 413)

    def _compression(self, req: falcon.Request) -> bool:
        if req.get_param("roi"):
            raise Refused("roi: there are no regions of interest here")
        if (req.get_param("scale") or "0") != "0":
            raise Refused("scale: volumes have scale 0 only here")
        wanted = req.get_param("compression") or ""
        if wanted not in ("", "googlegzip"):
            raise Refused(f"compression: only googlegzip is known here, got {wanted!r}")
        return bool(wanted)

    def _body(self, req: falcon.Request, most: int) -> bytes:
        if (req.content_length or 0) > most:
            raise Refused(f"the body has {req.content_length} bytes, the limit is {most}", 413)
        body: bytes = req.bounded_stream.read()
        return body


class _Stream:
    """Pieces of an answer, as falcon wants them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self._pieces.close()  # type: ignore[attr-defined]


class _EveryAnswer:
    """What every answer has: pages from anywhere may read it."""

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, req_succeeded: bool
    ) -> None:
        resp.set_header("Access-Control-Allow-Origin", "*")
        if req.method == "OPTIONS":
            resp.set_header("Access-Control-Allow-Methods", resp.get_header("Allow") or "GET")
            resp.set_header("Access-Control-Allow-Headers", "*")


def _pixels(voxels_zyxc: np.ndarray[Any, Any], wanted: Cutout) -> np.ndarray[Any, Any]:
    """Rows, columns, channels; the planes of a volume one below the other, as Neuroglancer reads them."""
    if wanted.axes == "xyz":
        z, y, x, c = voxels_zyxc.shape
        return voxels_zyxc.reshape(1, z * y * x, c).reshape(z * y, x, c)
    return voxels_zyxc.take(0, axis={"xy": 0, "xz": 1, "yz": 2}[wanted.axes])


def _plain(segment: str) -> str:
    """A segment of the path, as it was before it was quoted."""
    try:
        return urllib.parse.unquote(segment, errors="strict")
    except UnicodeDecodeError as error:
        raise Refused(f"the path has a segment that is no UTF-8: {segment!r}") from error


def _answer(resp: falcon.Response, document: Any, content_type: str = falcon.MEDIA_JSON) -> None:
    resp.data, resp.content_type = json.dumps(document).encode(), content_type


def _say(resp: falcon.Response, text: str, status: int = 200) -> None:
    resp.text, resp.content_type, resp.status = text, "text/plain; charset=utf-8", status


def _refused(req: falcon.Request, resp: falcon.Response, error: Refused, params: dict[str, Any]) -> None:
    _say(resp, f"{error}\n", error.status)


def _http_error(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: dict[str, Any]) -> None:
    for key, value in dict(error.headers or {}).items():
        resp.set_header(key, value)
    _say(resp, f"{error.description or error.title}\n", error.status_code)


def _failed(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
    req.log_error(f"{type(error).__name__}: {error}")
    _say(resp, f"the server failed: {type(error).__name__}\n", 500)

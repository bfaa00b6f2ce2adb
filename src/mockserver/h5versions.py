"""The routes of the server itself, and of repositories and versions."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from typing import Any

import falcon

from mockserver import h5documents, h5instances
from mockserver.h5answers import Answers, answer, plain, say
from mockserver.h5datafile import DataFile
from mockserver.h5errors import NotThere, Refused
from mockserver.h5requests import MOST_JSON_BYTES, json_object, text_field
from mockserver.h5tree import Node, add_node, add_repo, new_uuid, save_node, save_repo


class Versions(Answers):
    """Answers requests; the names of the methods are those of ``h5routes.ROUTES``."""

    def __init__(self, data: DataFile, most_bytes: int, paths: Sequence[str]) -> None:
        super().__init__(data, most_bytes, paths)
        self._begun = time.monotonic()

    def on_get_server_info(self, req: falcon.Request, resp: falcon.Response) -> None:
        """What this server is."""
        seconds = int(time.monotonic() - self._begun)
        answer(
            resp,
            {
                "DVID Version": "v1.0 (mockserver)",
                "Datastore Version": "1.0",
                "Storage backend": "hdf5",
                "Cores": str(os.cpu_count()),
                "Maximum Cores": str(os.cpu_count()),
                "Server uptime": f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}",
                "Host": socket.gethostname(),
                "File": self.data.path.name,
                "Mode": "read-only" if self.data.read_only else "read and write",
            },
        )

    def on_get_types(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The types of instance."""
        answer(resp, h5documents.type_urls([*h5instances.TYPES, h5instances.KEYVALUE]))

    def on_get_help_all(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All routes."""
        say(resp, "\n".join(["An HDF5 file, served as by a DVID server. Routes:", "", *self.paths, ""]))

    def on_get_help(self, req: falcon.Request, resp: falcon.Response, typename: str) -> None:
        """The settings of a type."""
        if typename not in (*h5instances.TYPES, h5instances.KEYVALUE):
            raise NotThere(f"there is no type {typename!r}")
        say(resp, h5documents.help_of(typename))

    def on_post_repos(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Makes a repository."""
        settings = json_object(self.body(req, MOST_JSON_BYTES), "the settings")
        alias, root = text_field(settings, "alias"), text_field(settings, "root")
        with self.data.writing("creating a repository", versions=True) as file:
            uuid = root or new_uuid()
            name = alias.replace("/", "_") or uuid
            if name in self.data.tree.repos:
                name = f"{name}-{uuid}"
            if uuid in self.data.tree.nodes:
                raise Refused(f"there is a node {uuid!r} already", 409)
            add_repo(file, name, text_field(settings, "description"), alias)
            add_node(file, Node(uuid, name))
        answer(resp, {"root": uuid})

    def on_get_repos_info(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All repositories."""
        with self.data.reading("listing repositories"):
            document = h5documents.repos(self.data)
        answer(resp, document)

    def on_get_repo_info(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        """One repository."""
        with self.data.reading("describing a repository"):
            document = h5documents.repo_info(self.data, self.repo(uuid))
        answer(resp, document)

    def on_get_repo_log(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        """The log of a repository."""
        answer(resp, {"log": self.repo(uuid).log})

    def on_post_repo_log(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        """Adds lines to the log of a repository."""
        document = json_object(self.body(req, MOST_JSON_BYTES), "the log")
        with self.data.writing(f"writing the log of the repository of {uuid!r}", versions=True) as file:
            repo = self.repo(uuid)
            repo.log += _lines(document)
            save_repo(file, repo)
        say(resp, "")

    def on_get_datasets_info(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All repositories, in the words of 2013."""
        with self.data.reading("listing datasets"):
            document = h5documents.datasets(self.data)
        answer(resp, document)

    def on_get_datasets_list(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The roots of all repositories."""
        with self.data.reading("listing datasets"):
            roots = [repo.root.uuid for repo in self.data.tree.repos.values()]
        answer(resp, {"DatasetsUUID": roots})

    def on_post_new_instance(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        """Makes a volume or key-values."""
        settings = json_object(self.body(req, MOST_JSON_BYTES), "the settings")
        self._create(resp, uuid, text_field(settings, "typename"), text_field(settings, "dataname"), settings)

    def on_post_new_early(
        self, req: falcon.Request, resp: falcon.Response, uuid: str, typename: str, name: str
    ) -> None:
        """Makes a volume or key-values, in the words of 2013."""
        settings = json_object(self.body(req, MOST_JSON_BYTES), "the settings")
        self._create(resp, uuid, typename, plain(name), settings)

    def on_post_commit(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        """Locks a version."""
        document = json_object(self.body(req, MOST_JSON_BYTES), "the note")
        with self.data.writing(f"committing {uuid!r}", versions=True) as file:
            node = self.node(uuid)
            if not node.is_open:
                raise Refused(f"node {node.uuid!r} is committed already")
            node.locked = True
            node.note = text_field(document, "note") or node.note
            node.log += _lines(document)
            save_node(file, node)
        answer(resp, {"committed": node.uuid})

    def on_post_newversion(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        """Makes the next version."""
        self._new_version(req, resp, uuid, on_branch=False)

    def on_post_branch(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        """Makes a version on a new branch."""
        self._new_version(req, resp, uuid, on_branch=True)

    def on_get_status(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        """Whether a version is locked."""
        answer(resp, {"Locked": not self.node(uuid).is_open})

    def on_get_note(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        """The note of a version."""
        answer(resp, {"note": self.node(uuid).note})

    def on_post_note(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        """Replaces the note of a version."""
        document = json_object(self.body(req, MOST_JSON_BYTES), "the note")
        with self.data.writing(f"writing the note of {uuid!r}", versions=True) as file:
            node = self.node(uuid)
            node.note = text_field(document, "note")
            save_node(file, node)
        say(resp, "")

    def on_post_log(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        """Adds lines to the log of a version."""
        document = json_object(self.body(req, MOST_JSON_BYTES), "the log")
        with self.data.writing(f"writing the log of {uuid!r}", versions=True) as file:
            node = self.node(uuid)
            node.log += _lines(document)
            save_node(file, node)
        say(resp, "")

    def on_get_log(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        """The log of a version."""
        answer(resp, {"log": self.node(uuid).log})

    def _create(self, resp: falcon.Response, uuid: str, typename: str, name: str, settings: dict[str, Any]) -> None:
        node = self.node(uuid)
        h5instances.create(self.data, node, typename, name, settings)
        answer(resp, {"result": f"made {typename} instance {name} at node {node.uuid}"})

    def _new_version(self, req: falcon.Request, resp: falcon.Response, uuid: str, *, on_branch: bool) -> None:
        document = json_object(self.body(req, MOST_JSON_BYTES), "the note")
        with self.data.writing(f"making a version after {uuid!r}", versions=True) as file:
            parent = self.node(uuid)
            if parent.is_open:
                raise Refused(f"node {parent.uuid!r} is not committed yet: POST .../commit first")
            branch = text_field(document, "branch") if on_branch else parent.branch
            taken = {self.data.tree.nodes[child].branch for child in parent.children}
            every = {node.branch for node in self.data.tree.repos[parent.repo].nodes}
            if on_branch and (branch in every or branch in ("", "master")):
                raise Refused(f"branch: expected a name that no branch of the repository has, got {branch!r}")
            if branch in taken:
                raise Refused(f"node {parent.uuid!r} has a child on its branch already: POST .../branch makes others")
            child = Node(text_field(document, "uuid") or new_uuid(), parent.repo, [parent.uuid], branch=branch)
            child.note = text_field(document, "note")
            if child.uuid in self.data.tree.nodes:
                raise Refused(f"there is a node {child.uuid!r} already", 409)
            add_node(file, child)
        answer(resp, {"child": child.uuid})


def _lines(document: dict[str, Any]) -> list[str]:
    lines = document.get("log", [])
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise Refused(f"log: expected a list of texts, got {lines!r}")
    return lines

"""A server: the repos it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from dvidclient.connection import REQUESTS, Connection, quoted
from dvidclient.display import html_fields, html_table
from dvidclient.errors import BadArgument, ClientError
from dvidclient.node import Node
from dvidclient.repo import Repo


def connect(
    url: str,
    token: str | None = None,
    *,
    user: str | None = None,
    app: str | None = None,
    timeout: float = 60.0,
    retries: int = 3,
    workers: int = 4,
) -> Server:
    """Opens a server; asks it once what it is.

    As many connections as are needed at the same time, 64 at most or one for each worker, are kept open until the server object
    is closed, ``with dvidclient.connect(url) as server: ...``, or nobody has it any longer.

    Args:
        url: ``localhost:8000`` or a URL, ``http://`` or ``https://``.
        token: sent as ``Authorization: Bearer``. An admin's token lifts the lock of committed nodes: give it only where that is meant.
        user: who asks; servers keep it with what is changed.
        app: with which program.
        timeout: seconds without any progress after which a request has failed.
        retries: how often a request is tried again where that can do no harm.
        workers: how many parts of a large box are read or written at a time.

    Raises:
        BadArgument: it is no address of a server.
        ServerRefused, NoAnswer: no such server can be asked there.
    """
    connection = Connection(
        url, token=token, user=user, app=app, timeout=timeout, retries=retries, connections=max(REQUESTS, workers)
    )
    return Server(connection, workers=workers)


class Server:
    """A server that speaks the DVID HTTP API. What it says is asked for anew each time.

    It closes its connections at the end of a ``with`` block.
    """

    def __init__(self, connection: Connection, *, workers: int = 4) -> None:
        self.connection = connection
        self.workers = workers
        self.info: dict[str, Any] = connection.get_json("/api/server/info", f"connecting to {connection.base_url}")

    def close(self) -> None:
        """Closes the connections that are kept open. The object can be used all the same: it opens new ones then."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where it is."""
        return self.connection.base_url

    @property
    def version(self) -> str:
        """What it says that it is."""
        return str(self.info.get("DVID Version", ""))

    @property
    def types(self) -> list[str]:
        """The types of data that instances can be made of."""
        return sorted(self.connection.get_json("/api/server/compiled-types", "listing the types"))

    @property
    def repos(self) -> dict[str, Repo]:
        """All repos by the UUID of their root, in the order in which they were made."""
        found = self.connection.get_json("/api/repos/info", "listing the repos")
        repos = [Repo(self, document) for document in found.values() if isinstance(document, dict)]
        return {repo.uuid: repo for repo in sorted(repos, key=lambda repo: repo.created)}

    def __iter__(self) -> Iterator[Repo]:
        """All repos, in the order in which they were made."""
        return iter(self.repos.values())

    def __getitem__(self, name: str) -> Repo:
        """The repo with an alias, or the one that a UUID, or the beginning of one, belongs to.

        Raises:
            BadArgument: several repos have this alias; name the one by its UUID.
            ServerRefused: there is none.
        """
        named = [repo for repo in self if repo.alias == name]
        if len(named) > 1:
            uuids = ", ".join(repo.uuid for repo in named)
            raise BadArgument(f"{len(named)} repos have the alias {name!r}: name one by its UUID, of {uuids}")
        return named[0] if named else self.repo(name)

    def repo(self, uuid: str) -> Repo:
        """The repo that a version belongs to.

        Args:
            uuid: of the root or of any version, or the beginning of one.
        """
        document = self.connection.get_json(f"/api/repo/{quoted(uuid, 'uuid')}/info", f"opening repo {uuid!r}")
        return Repo(self, document)

    def node(self, selector: str) -> Node:
        """A version: its UUID or the beginning of it, or ``UUID:branch`` for the last one of a branch."""
        return self.repo(selector.partition(":")[0]).node(selector)

    def create_repo(self, alias: str, description: str = "", *, passcode: str | None = None) -> Repo:
        """Makes a repo; some servers want an admin's token for it.

        Args:
            alias: its name.
            description: what it is for.
            passcode: that must be given to delete it.
        """
        document = {"alias": alias, "description": description, **({"passcode": passcode} if passcode else {})}
        answer = self.connection.tell("/api/repos", f"making the repo {alias!r}", document=document)
        return self.repo(answer["root"])

    def __repr__(self) -> str:
        return f"<Server {self.url}: {self.version}>"

    def _repr_html_(self) -> str:
        try:
            repos = self.repos
        except ClientError as error:
            return html_fields(f"{self.url}: {self.version}", {"repos": error})
        rows = [
            (repo.alias, repo.uuid[:8], repo.description, len(repo.nodes), ", ".join(repo.instance_names))
            for repo in repos.values()
        ]
        return html_table(
            f"{self.url}: {self.version}", ["alias", "root", "description", "versions", "instances"], rows
        )

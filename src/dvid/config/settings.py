"""The settings of a server: every key, its meaning and its default, declared once."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeVar

from dvid.config import values
from dvid.config.toml import write_toml
from dvid.config.values import Address, Kind
from dvid.errors import ConfigError

T = TypeVar("T")

MIB = 2**20
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Setting:
    """How one field is set: its key in the file, what it may be, and what it means."""

    key: str
    kind: Kind[Any]
    meaning: str
    default: str
    """The default as the documentation shows it."""


def _setting(
    key: str,
    kind: Kind[T],
    meaning: str,
    default: T | Callable[[], T] | dataclasses._MISSING_TYPE | None = dataclasses.MISSING,
    shown: str = "",
) -> Any:
    if not shown:
        shown = "required" if default is dataclasses.MISSING else f"`{values.shown(_plain(default))}`"
    metadata = {"setting": Setting(key, kind, meaning, shown)}
    if default is dataclasses.MISSING:
        return field(metadata=metadata)
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def _plain(value: object) -> object:
    """The TOML value of a setting's value."""
    if isinstance(value, Address):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def machine_name() -> str:
    """The name this machine gives itself."""
    return socket.gethostname() or "localhost"  # getfqdn would ask a name server, and wait for it


def default_workers() -> int:
    """One process for each core this process may use, at most 8."""
    return min(8, len(os.sched_getaffinity(0)))


@dataclass(frozen=True, slots=True)
class Server:
    """The table `[server]`."""

    http_address: Address = _setting(  # noqa: RUF009 - an Address is frozen
        "httpAddress",
        values.ADDRESS,
        "Where the server listens. A host left out (`:8000`) means loopback, `127.0.0.1`, other than in the reference "
        "server, where it means every interface: write `0.0.0.0:8000` or `[::]:8000` for that. Port 0 takes a free port.",
        Address("127.0.0.1", 8000),
    )
    host: str = _setting(
        "host",
        values.LINE,
        "The name of this server in help texts and server information.",
        machine_name,
        "the machine's name",
    )
    note: str = _setting("note", values.TEXT, "A text for people, answered by `GET /api/server/note`.", "")
    cors_domains: tuple[str, ...] = _setting(
        "corsDomains",
        values.ORIGINS,
        "Web pages of which origins may read answers. An origin with a scheme (`https://host` or `https://host:port`) "
        "matches itself; a bare host matches it with any scheme and port, but not its subdomains; `*` matches all. "
        "Empty: no page of another origin. Pages of origins that are named, other than by `*`, may also change data.",
        (),
    )
    web_client: str | None = _setting(
        "webClient",
        values.PATH,
        "The folder with the files of a web client, served at paths outside `/api`.",
        None,
        "none: the built-in pages",
    )
    web_redirect_path: str = _setting(
        "webRedirectPath",
        values.URL_PATH,
        "Where a request for a file that `webClient` does not have is redirected. Goes before `webDefaultFile`.",
        "",
    )
    web_default_file: str = _setting(
        "webDefaultFile",
        values.INNER_FILE,
        "The file of `webClient` that answers a request for a file it does not have.",
        "",
    )
    allow_timing: bool = _setting(
        "allowTiming", values.FLAG, "Send `Timing-Allow-Origin: *`, so that web pages can time requests.", False
    )
    allow_labelmap_split: bool = _setting(
        "allowLabelmapSplit", values.FLAG, "Allow the `split` requests of `labelmap` instances.", False
    )
    reference_faults: bool = _setting(
        "referenceFaults",
        values.FLAG,
        "Answer three requests of `labelmap` as the reference server does, faults and all: `label` and `labels` at negative "
        "coordinates, `sparsevol` with `maxx`, and `HEAD sparsevol` with bounds. For what is compared with it answer by answer.",
        False,
    )
    read_only: bool = _setting(
        "readOnly",
        values.FLAG,
        'Refuse every request that would change something. `rwmode = "readonly"` of the reference server means the same.',
        False,
    )
    workers: int = _setting(
        "workers",
        values.whole(1, 256),
        "Number of processes that answer requests.",
        default_workers,
        "the number of cores, at most 8",
    )
    threads: int = _setting(
        "threads", values.whole(1, 1024), "Number of requests each process works on at the same time.", 4
    )
    idempotency_hours: int = _setting(
        "idempotencyHours",
        values.whole(1, 24 * 365),
        "How long the answer to a request with an `Idempotency-Key` is kept for a repetition of it.",
        24,
    )
    access_log: str = _setting(
        "accessLog",
        values.choice("json", "text", "off"),
        "Form of the access log: one line for each request, with its time, bytes, user and application.",
        "json",
    )
    access_log_file: str | None = _setting(
        "accessLogFile", values.PATH, "The file the access log is appended to.", None, "none: standard error"
    )

    @property
    def alias(self) -> str:
        """The name of the server for people: `host:port`."""
        return f"{self.host}:{self.http_address.port}"


@dataclass(frozen=True, slots=True)
class Limits:
    """The table `[limits]`. A request over a limit is refused before memory is taken for it."""

    body_bytes: int = _setting("bodyBytes", values.size(), "Largest request body, as it is sent.", GIB, '`"1 GiB"`')
    decompressed_bytes: int = _setting(
        "decompressedBytes", values.size(), "Largest request body after its decompression.", GIB, '`"1 GiB"`'
    )
    answer_bytes: int = _setting(
        "answerBytes", values.size(), "Largest answer, before its compression.", 4 * GIB, '`"4 GiB"`'
    )
    header_bytes: int = _setting(
        "headerBytes",
        values.size(8192),
        "Largest head of a request: its URL and headers. A URL alone may have 65,534 bytes.",
        400 * 1024,
        '`"400 KiB"`',
    )
    heavy_requests: int = _setting(
        "heavyRequests",
        values.whole(1, 100_000),
        "How many requests with `throttle=true` run at the same time; one more is answered with 503.",
        1,
    )
    request_seconds: float = _setting("requestSeconds", values.SECONDS, "Longest time for one request.", 600.0, "`600`")
    silence_seconds: float = _setting(
        "silenceSeconds",
        values.SECONDS,
        "How long a request is kept while no byte of its body arrives; it is then answered with 408.",
        30.0,
        "`30`",
    )
    key_bytes: int = _setting("keyBytes", values.whole(1, 480), "Longest key of a keyvalue instance, in bytes.", 400)


@dataclass(frozen=True, slots=True)
class Store:
    """A table `[store.NAME]`: one place where data is kept."""

    name: str
    path: str = _setting(
        "path",
        values.PATH,
        "The folder of the store. It is created where it does not exist. Only a store called `default` may go without: "
        "it is then in `$XDG_DATA_HOME/dvid`, else `~/.local/share/dvid`.",
    )
    engine: str = _setting("engine", values.choice("lmdb"), "The kind of store.", "lmdb")
    durability: str = _setting(
        "durability",
        values.choice("durable", "relaxed"),
        "`durable`: what was answered is on disk. `relaxed`: written to disk once a second, so that a crash of the "
        "machine, not of the server, may lose the last second.",
        "durable",
    )
    max_size: int | None = _setting(
        "maxSize",
        values.size(MIB),
        "The size at which the store refuses to grow: writes are then answered with 507, reads go on.",
        None,
        "none: the size of the disk",
    )


@dataclass(frozen=True, slots=True)
class Backend:
    """A table `[backend.WHAT]`: which data goes to which store."""

    specifier: str
    """`default`, `metadata`, a type, a data UUID, `name:UUID` or, for a tag, `key=value`."""
    store: str = _setting("store", values.LINE, "The name of the store.")


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of a server, checked. It can be pickled and passed to another process."""

    server: Server
    limits: Limits
    stores: tuple[Store, ...]
    """At least one, sorted by name."""
    backends: tuple[Backend, ...]
    """Sorted by specifier; `default` is always among them."""
    file: str | None = None
    """The file that was read."""
    warnings: tuple[str, ...] = field(default=(), compare=False)
    """One line for each setting that was accepted but has no effect: to be logged at the start."""
    admin_token: str | None = field(default=None, repr=False, compare=False)
    """From the environment only. Never in `describe`, `to_toml` or the repr."""

    def store(self, name: str) -> Store:
        """The store of that name; KeyError where there is none."""
        for store in self.stores:
            if store.name == name:
                return store
        raise KeyError(name)

    @property
    def default_store(self) -> Store:
        """Where data goes that no other `[backend]` table names."""
        return self.store(self._assigned("default") or "")

    @property
    def metadata_store(self) -> Store:
        """Where the repos and their versions are kept."""
        return self.store(self._assigned("metadata") or self.default_store.name)

    def store_of(
        self, *, name: str, typename: str, root_uuid: str, data_uuid: str, tags: Mapping[str, str] | None = None
    ) -> Store:
        """The store of a data instance.

        The reference server's order decides: the data UUID, then `name:UUID` with the UUID of the node the instance
        was made at, then its tags, then its type, then the default. A data UUID is random, and so never named
        beforehand.
        """
        wanted = [data_uuid, f"{name}:{root_uuid}", *(f"{k}={v}" for k, v in sorted((tags or {}).items())), typename]
        for specifier in wanted:
            if (found := self._assigned(specifier)) is not None:
                return self.store(found)
        return self.default_store

    def check_types(self, known: Iterable[str]) -> None:
        """Raise ConfigError if a `[backend.TYPE]` table names a type that is not among `known`."""
        known = set(known) | {"default", "metadata"}
        for backend in self.backends:
            what = backend.specifier
            if ":" in what or "=" in what or is_uuid(what) or what in known:
                continue
            raise ConfigError(
                f"{self.file or 'configuration'}: [backend.{what}]: expected default, metadata, a type of data, "
                f"a data UUID, name:UUID or key=value of a tag{did_you_mean(what, known)}"
            )

    def _assigned(self, specifier: str) -> str | None:
        return next((backend.store for backend in self.backends if backend.specifier == specifier), None)

    def describe(self) -> dict[str, dict[str, Any]]:
        """The settings in force as TOML tables, without secrets. Settings that are not set are left out."""
        return {
            "server": _table(self.server),
            "limits": _table(self.limits),
            "store": {store.name: _table(store) for store in self.stores},
            "backend": {backend.specifier: _table(backend) for backend in self.backends},
        }

    def to_toml(self) -> str:
        """The settings in force as a configuration file, without secrets; reading it gives the same settings."""
        return write_toml(self.describe())


def settings_of(declared: type[Any] | object) -> dict[str, Setting]:
    """The settings of one of the classes above: its field names with their declarations."""
    return {f.name: f.metadata["setting"] for f in dataclasses.fields(declared) if "setting" in f.metadata}  # type: ignore[arg-type]


def is_uuid(text: str) -> bool:
    """Whether a text is a whole UUID as the service writes it: 32 hexadecimal digits."""
    return len(text) == 32 and all(c in "0123456789abcdef" for c in text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean "...")` with the nearest of `known`, in any case, or nothing."""
    by_lower = {one.lower(): one for one in known}
    found = get_close_matches(word.lower(), by_lower, n=1)
    return f' (did you mean "{by_lower[found[0]]}"?)' if found else ""


def _table(declared: object) -> dict[str, Any]:
    found = {setting.key: _plain(getattr(declared, name)) for name, setting in settings_of(declared).items()}
    return {key: value for key, value in found.items() if value is not None}

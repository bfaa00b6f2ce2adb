"""The three sources of settings, each read into the same flat form: file, environment, command line."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, NoReturn

from dvid.config import reference
from dvid.config.settings import Backend, Limits, Server, Store, did_you_mean, is_uuid, settings_of
from dvid.config.values import one_line, shown
from dvid.errors import ConfigError

SINGLE_TABLES: dict[str, type[Any]] = {"server": Server, "limits": Limits}
NAMED_TABLES: dict[str, type[Any]] = {"store": Store, "backend": Backend}
TABLES = SINGLE_TABLES | NAMED_TABLES

DATA = ("data", "", "data")
"""The address of the one setting outside the tables: the folder of the default store, `--data` or DVID_DATA."""
RWMODE = ("server", "", "rwmode")

_OURS = ("DVID_SERVER_", "DVID_LIMITS_")
# Kubernetes sets such variables in every container when a service is called "dvid-server".
_KUBERNETES = ("DVID_SERVER_SERVICE_", "DVID_SERVER_PORT")
_LONGEST_NAME = 100

Address = tuple[str, str, str]
"""Table, name (of the store or backend, else empty) and key of a setting."""


class Given(NamedTuple):
    """A value as a source gave it."""

    value: object
    label: str
    """Source and key, as a message begins: `dvid.toml: server.httpAddress`."""
    folder: str
    """Where relative paths start."""
    is_text: bool
    """The value is text that stands for a TOML value."""


class Layer(NamedTuple):
    """What one source gave."""

    given: dict[Address, Given]
    tables: dict[tuple[str, str], str]
    """The tables of stores and backends that were named, each as a message begins: `dvid.toml: store.main`."""
    warnings: tuple[str, ...] = ()


def refuse(label: str, value: object, expected: str) -> NoReturn:
    """Raise the ConfigError of a value that does not fit."""
    raise ConfigError(f"{label} = {shown(value)}: expected {expected}")


def read_file(path: str) -> Layer:
    """The settings of a TOML file. Raises ConfigError for a file that cannot be read, and for what it may not hold."""
    label = one_line(path)
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{label}: the configuration file cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise ConfigError(f"{label}: not a TOML file: its values are nested too deeply") from None
    except ValueError as error:
        raise ConfigError(f"{label}: not a TOML file: {one_line(str(error))}") from None
    reader = _FileReader(label, os.path.dirname(os.path.abspath(path)))
    for name, content in document.items():
        reader.read_table(name, content)
    return Layer(reader.given, reader.tables, tuple(reader.warnings))


def read_environment(environ: Mapping[str, str]) -> Layer:
    """The settings in environment variables: `DVID_SERVER_HTTP_ADDRESS` is `httpAddress` of `[server]`, and so on."""
    known = {variable(table, key): (table, "", key) for table in SINGLE_TABLES for key in keys_of(table)}
    known["DVID_DATA"] = DATA
    given = {}
    for name, value in environ.items():
        if not value or (name not in known and (not name.startswith(_OURS) or name.startswith(_KUBERNETES))):
            continue
        if name not in known:
            raise ConfigError(f"environment: unknown variable {one_line(name)}{did_you_mean(name, known)}")
        given[known[name]] = Given(value, f"environment: {name}", os.getcwd(), is_text=True)
    return Layer(given, {})


def read_overrides(overrides: Mapping[str, object]) -> Layer:
    """The settings of the command line: keys `data`, `server.httpAddress`, `store.NAME.durability`; None is not given."""
    given = {}
    tables = {}
    for dotted, value in overrides.items():
        if value is None:
            continue
        label = f"command line: {one_line(dotted)}"
        table, name, key = _address_of(dotted, label)
        given[table, name, key] = Given(value, label, os.getcwd(), isinstance(value, str))
        if table in NAMED_TABLES:
            tables[table, name] = label.rpartition(".")[0]
    return Layer(given, tables)


def variable(table: str, key: str) -> str:
    """The environment variable of a key of `[server]` or `[limits]`: `DVID_SERVER_HTTP_ADDRESS` for `httpAddress`."""
    return f"DVID_{table}_{''.join('_' + c if c.isupper() else c for c in key)}".upper()


def keys_of(table: str) -> list[str]:
    """The keys of a table, as the file has them."""
    return [setting.key for setting in settings_of(TABLES[table]).values()]


def _address_of(dotted: str, label: str) -> Address:
    if dotted == "data":
        return DATA
    table, _, rest = dotted.partition(".")
    name, _, key = rest.rpartition(".")
    if table not in TABLES or bool(name) != (table in NAMED_TABLES) or key not in keys_of(table):
        known = ["data", *(f"{t}.{k}" for t in SINGLE_TABLES for k in keys_of(t))]
        known += [f"{table}.{name or 'NAME'}.{k}" for k in keys_of(table)] if table in NAMED_TABLES else []
        raise ConfigError(f"{label}: unknown setting{did_you_mean(dotted, known)}")
    return table, check_name(label, table, name) if name else "", key


def check_name(label: str, table: str, name: str) -> str:
    """The name of a store, or the normal form of what a backend is for. Raises ConfigError."""
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise ConfigError(f"{label}: expected a name of 1 to {_LONGEST_NAME} printable characters")
    if table == "store":
        return name
    left, colon, right = name.partition(":")
    if is_uuid(name.lower()):
        return name.lower()
    if colon and left and is_uuid(right.lower()):
        return f"{left}:{right.lower()}"
    if colon and len(right) >= 6 and all(c in "0123456789abcdefABCDEF" for c in right):
        # Taken as a tag, a shortened UUID would quietly send the data to another store.
        raise ConfigError(f"{label}: expected name:UUID with all 32 digits of the UUID, or key=value for a tag")
    if colon:
        return f"{left}={right}"  # the reference's example writes tags so
    return name


class _FileReader:
    """Sorts the tables of a file into settings and warnings. Keys are known in any case, as in the reference server."""

    def __init__(self, label: str, folder: str) -> None:
        self.label = label
        self.folder = folder
        self.given: dict[Address, Given] = {}
        self.tables: dict[tuple[str, str], str] = {}
        self.warnings: list[str] = []
        self.seen: set[str] = set()

    def read_table(self, name: str, content: object) -> None:
        known = [*TABLES, *reference.TABLES, "mutations", "auth"]
        table = name.lower()
        if table not in known:
            owners = [t for t in SINGLE_TABLES if name.lower() in map(str.lower, keys_of(t))]
            hint = f" (it belongs under [{owners[0]}])" if owners else did_you_mean(name, known)
            raise ConfigError(f"{self.label}: unknown table or key {shown(name)}{hint}")
        found = self._table(table, content)
        if table in self.seen:
            raise ConfigError(f"{self.label}: the table [{table}] is given twice, in different spelling")
        self.seen.add(table)
        if table in SINGLE_TABLES:
            ignored = reference.SERVER_KEYS if table == "server" else {}
            self._read_keys(table, "", found, keys_of(table) + (["rwmode"] if table == "server" else []), ignored)
        elif table == "store":
            for store, keys in found.items():
                self._read_store(store, self._table(f"store.{one_line(store)}", keys))
        elif table == "backend":
            for specifier, keys in found.items():
                label = f"backend.{one_line(specifier)}"
                self._read_backend(
                    check_name(f"{self.label}: [{label}]", "backend", specifier), self._table(label, keys)
                )
        elif table == "mutations":
            self._read_keys(table, "", found, [], reference.MUTATIONS_KEYS)
        elif table == "auth":
            self._read_auth(found)
        else:
            self._warn(f"[{table}]", reference.TABLES[table])

    def _read_store(self, name: str, table: dict[str, object]) -> None:
        label = f"{self.label}: store.{one_line(name)}"
        check_name(label, "store", name)
        engine = next((value for key, value in table.items() if key.lower() == "engine"), None)
        if engine == reference.LOG_ENGINE:
            self._warn(f"[store.{one_line(name)}]", reference.BACKEND_KEYS["log"])
            return
        if engine in reference.ENGINES:
            refuse(f"{label}.engine", engine, '"lmdb": stores of the reference server cannot be opened by this one')
        self.tables["store", name] = label
        self._read_keys("store", name, table, keys_of("store"), reference.STORE_KEYS)

    def _read_backend(self, specifier: str, table: dict[str, object]) -> None:
        if (label := self.tables.get(("backend", specifier))) is not None:
            raise ConfigError(f"{label} is given twice, in different spelling")
        if [key.lower() for key in table] != ["log"]:  # a table with nothing else assigns no store
            self.tables["backend", specifier] = f"{self.label}: backend.{one_line(specifier)}"
        self._read_keys("backend", specifier, table, keys_of("backend"), reference.BACKEND_KEYS)

    def _read_auth(self, table: dict[str, object]) -> None:
        for key, value in table.items():
            if key.lower() in reference.AUTH_SWITCHES and value not in ("", "none"):
                # Going on would open to everyone what the file says is closed.
                refuse(f"{self.label}: auth.{key.lower()}", value, '"none": checking users is not supported yet')
        self._warn("[auth]", "checking users is not supported yet; the admin token is read from DVID_ADMIN_TOKEN")

    def _read_keys(
        self, table: str, name: str, found: dict[str, object], keys: Iterable[str], ignored: Mapping[str, str]
    ) -> None:
        spelling = {key.lower(): key for key in (*keys, *ignored)}
        prefix = f"{table}.{one_line(name)}" if name else table
        seen: set[str] = set()
        for written, value in found.items():
            if written.lower().replace("_", "") == "admintoken":
                raise ConfigError(
                    f"{self.label}: {prefix}.{written}: the admin token is read from the environment variable "
                    "DVID_ADMIN_TOKEN only"
                )
            if written.lower() not in spelling:
                hint = did_you_mean(written, spelling.values())
                raise ConfigError(f"{self.label}: unknown key {shown(written)} in [{prefix}]{hint}")
            key = spelling[written.lower()]
            if key in seen:
                raise ConfigError(f"{self.label}: {prefix}.{key} is given twice, in different spelling")
            seen.add(key)
            if key in ignored:
                self._warn(f"{prefix}.{key}", ignored[key])
            else:
                self.given[table, name, key] = Given(value, f"{self.label}: {prefix}.{key}", self.folder, is_text=False)

    def _table(self, name: str, content: object) -> dict[str, object]:
        if not isinstance(content, dict):
            refuse(f"{self.label}: {name}", content, f"a table, [{name}]")
        return content

    def _warn(self, what: str, why: str) -> None:
        self.warnings.append(f"{self.label}: {what} is ignored: {why}")

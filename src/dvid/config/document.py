"""The documentation of the settings, made from their declarations."""

from __future__ import annotations

from collections.abc import Mapping

from dvid.config import reference
from dvid.config.layers import NAMED_TABLES, SINGLE_TABLES, variable
from dvid.config.load import ADMIN_TOKEN_VARIABLE
from dvid.config.settings import settings_of

_INTRODUCTION = f"""# Configuration

This page is generated from the declarations in `dvid.config.settings`: `python -m dvid.config > docs/configuration.md`.

A server needs no configuration: `dvid serve` keeps its data in `$XDG_DATA_HOME/dvid`, or in `~/.local/share/dvid` where
that variable is not set, and `dvid serve --data DIR` keeps it in `DIR`. Everything else is set in a TOML file,
`dvid serve dvid.toml`; [examples/dvid.toml](../examples/dvid.toml) is one to start from.

A setting of the command line goes before one of the environment, that before one of the file, that before the default.
A key that does not exist, or a value that does not fit, is one line on standard error, and the server exits with code 2.

- Keys are known in any case: `httpaddress` is `httpAddress`. Names of stores are taken as written.
- A path that does not begin with `/` or `~` starts at the folder of the file it stands in; in the environment and on
  the command line, at the current folder.
- A size is a number of bytes or a text with a unit: `1048576`, `"512 MiB"`, `"1.5 GiB"` (powers of 1024), `"200 GB"` (powers of 1000).
- An environment variable that is set but empty counts as not set. A list is written with commas, a flag as `true` or `false`.
- `DVID_DATA`, like `--data`, names the folder of the default store.
- `{ADMIN_TOKEN_VARIABLE}` holds the token that grants admin rights. It is read from the environment only: as a key of the
  file it is an error, so that it does not end up in a repository or in `GET /api/server/config`.
"""

_ABOUT = {
    "server": "",
    "limits": "A request over a limit is refused before memory is taken for it; the answer names the limit.\n",
    "store": """Each such table declares a place where data is kept. Two stores cannot share a folder. All are opened at the start.

The store of the repos and their versions is the default store, or the one of `[backend.metadata]`. Every other store belongs
to it from its first use, and keeps its name: a server that is started with other repos, or with the store under another name,
refuses to start. Folders may be moved. Where one store is `durable`, that of the repos must be, too.
""",
    "backend": """Which data goes to which store. That is decided when an instance is made, and noted with it: later changes of these
tables move no data. Requests for an instance whose store is not declared any more are answered with 503 and the store's name.
`WHAT` is, the first that fits an instance deciding:

1. `"name:UUID"`: the instance of that name, made at the node with that UUID (all 32 digits),
2. `"key=value"`, or `"key:value"`: instances made with that tag,
3. a type, such as `keyvalue` or `uint8blk`,
4. `default`: everything else. Without it, the only store is the default.

A data UUID is accepted for files of the reference server, without effect: it is given out as the instance is made.

`metadata` names the store of the repos and their versions; without it, they are in the default store.

A write to an instance outside the store of the repos first takes its mutation id there, in a commit of its own: ids of writes
that failed are left out. `POST .../resolve` refuses such instances.
""",
}

_NAMES = {"server": "[server]", "limits": "[limits]", "store": "[store.NAME]", "backend": "[backend.WHAT]"}


def document() -> str:
    """The page `docs/configuration.md`."""
    parts = [_INTRODUCTION]
    for table, declared in (SINGLE_TABLES | NAMED_TABLES).items():
        parts.append(f"## `{_NAMES[table]}`\n")
        if _ABOUT[table]:
            parts.append(_ABOUT[table])
        with_variable = table in SINGLE_TABLES
        head = ["Key", "Value", "Default", "Meaning", *(["Environment variable"] if with_variable else [])]
        rows = [
            [
                f"`{setting.key}`",
                setting.kind.name,
                setting.default,
                setting.meaning,
                *([f"`{variable(table, setting.key)}`"] if with_variable else []),
            ]
            for setting in settings_of(declared).values()
        ]
        parts.append(_rows(head, rows))
    parts.append(_REFERENCE)
    parts.append(_rows(["Setting", "Why it has no effect"], [[f"`{what}`", why] for what, why in _ignored().items()]))
    return "\n".join(parts)


_REFERENCE = f"""## Settings of the reference server

A configuration file of the reference server can be used once its stores have the engine `lmdb`. Its stores themselves cannot
be opened: the engines {", ".join(f"`{engine}`" for engine in reference.ENGINES)} are refused.
`[auth]` is refused where {" or ".join(f"`{key}`" for key in reference.AUTH_SWITCHES)} is other than `"none"`, since
checking users is not supported yet, and ignored otherwise. `rwmode = "readonly"` of `[server]` means `readOnly = true`;
`rwmode = "fullwrite"` is refused. These settings are accepted without effect; the server says so in one line for each:
"""


def _ignored() -> dict[str, str]:
    groups: list[tuple[str, Mapping[str, str]]] = [
        ("[server] ", reference.SERVER_KEYS),
        ("[store.NAME] ", reference.STORE_KEYS),
        ("[backend.WHAT] ", reference.BACKEND_KEYS),
        ("[mutations] ", reference.MUTATIONS_KEYS),
    ]
    found = {f"{where}{key}": why for where, keys in groups for key, why in keys.items()}
    found[f'[store.NAME] engine = "{reference.LOG_ENGINE}"'] = reference.BACKEND_KEYS["log"]
    return found | {f"[{table}]": why for table, why in reference.TABLES.items()}


def _rows(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)

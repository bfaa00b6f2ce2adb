"""From the sources of settings to a checked `Config`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from dvid.config import layers, values
from dvid.config.layers import DATA, RWMODE, Address, Given, refuse
from dvid.config.settings import Backend, Config, Limits, Server, Setting, Store, did_you_mean, is_uuid, settings_of
from dvid.errors import ConfigError

ADMIN_TOKEN_VARIABLE = "DVID_ADMIN_TOKEN"  # the name of the variable, not a token


def load_config(
    path: str | None = None,
    overrides: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """Read all settings: the command line goes before the environment, that before the file, that before the defaults.

    Args:
        path: The TOML file, or None for none.
        overrides: Settings of the command line: `data` (the folder of the default store), `server.httpAddress`,
            `limits.bodyBytes`, `store.NAME.durability` and so on. A value of None counts as not given; a text may
            stand for a number, a flag or a list.
        environ: The environment; by default that of the process.

    Raises:
        ConfigError: With one line that names the source, the key, the value and what is allowed.
    """
    environ = os.environ if environ is None else environ
    sources = [layers.read_file(path)] if path is not None else []
    sources += [layers.read_environment(environ), layers.read_overrides(overrides or {})]
    given: dict[Address, Given] = {}
    labels: dict[tuple[str, str], str] = {}
    for source in sources:
        given.update(source.given)
        labels = source.tables | labels
    data = given.pop(DATA, None)
    rwmode = given.pop(RWMODE, None)
    tables: dict[tuple[str, str], dict[str, Given]] = {at: {} for at in labels}
    for (table, name, key), value in given.items():
        tables.setdefault((table, name), {})[key] = value
    stores = {name: keys for (table, name), keys in tables.items() if table == "store"}
    backends = {name: keys for (table, name), keys in tables.items() if table == "backend"}
    default = _default_store(stores, backends, data, environ, values.one_line(path or "command line"))
    made_stores = tuple(_build(Store, stores[name], labels.get(("store", name), ""), name) for name in sorted(stores))
    made_backends = {what: _build(Backend, keys, labels["backend", what], what) for what, keys in backends.items()}
    _check_stores(made_stores, stores)
    _check_backends(made_backends, stores, backends)
    made_backends.setdefault("default", Backend("default", default))
    return Config(
        server=_build(Server, _read_only(tables.get(("server", ""), {}), rwmode), "server"),
        limits=_build(Limits, tables.get(("limits", ""), {}), "limits"),
        stores=made_stores,
        backends=tuple(made_backends[what] for what in sorted(made_backends)),
        file=os.path.abspath(path) if path is not None else None,
        warnings=(
            *(line for source in sources for line in source.warnings),
            *(
                f"{labels['backend', what]}: no effect: data stays in the store that it was made in"
                for what in sorted(made_backends)
                if is_uuid(what)
            ),
        ),
        admin_token=_admin_token(environ),
    )


def default_data_folder(environ: Mapping[str, str]) -> str:
    """Where data is kept when nothing says where: `$XDG_DATA_HOME/dvid`, else `~/.local/share/dvid`."""
    base = environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(base):  # the XDG specification has relative paths ignored
        base = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".local", "share")
    if not os.path.isabs(base):
        raise ConfigError("no home directory to keep data in: name a folder with --data or in [store.NAME]")
    return os.path.join(base, "dvid")


def _default_store(
    stores: dict[str, dict[str, Given]],
    backends: Mapping[str, Mapping[str, Given]],
    data: Given | None,
    environ: Mapping[str, str],
    source: str,
) -> str:
    """The name of the default store. Makes it where there is none, and puts it at the folder of `data` if that is given."""
    named = backends.get("default", {}).get("store")
    if named is not None:
        name = named.value if isinstance(named.value, str) else ""  # what is no text, or no store, is refused later
    elif len(stores) == 1:
        name = next(iter(stores))
    elif not stores or data is not None:
        name = "default"
    else:
        raise ConfigError(
            f"{source}: there are {len(stores)} stores: expected [backend.default] with the name of the one for all "
            "data that no other [backend] table names"
        )
    if named is None:
        stores.setdefault(name, {})
    if name in stores and data is not None:
        stores[name]["path"] = data
    elif name == "default" and "path" not in stores.get(name, {"path": None}):
        stores[name]["path"] = Given(default_data_folder(environ), "default: store.default.path", "/", is_text=False)
    return name


def _build(declared: type[Any], keys: Mapping[str, Given], label: str, *name: str) -> Any:
    """One of the classes of `settings`, from what was given and the defaults."""
    found = {}
    for attribute, setting in settings_of(declared).items():
        if setting.key in keys:
            found[attribute] = _value(setting, keys[setting.key])
        elif setting.default == "required":
            raise ConfigError(f"{label}.{setting.key} is missing: expected {setting.kind.expects}")
    return declared(*name, **found)


def _value(setting: Setting, given: Given) -> Any:
    value = given.value
    try:
        if given.is_text and isinstance(value, str):
            value = setting.kind.from_text(value)
        parsed = setting.kind.parse(value)
    except ValueError:
        refuse(given.label, given.value, setting.kind.expects)
    if setting.kind.is_path:
        return os.path.abspath(os.path.join(given.folder, os.path.expanduser(parsed)))
    return parsed


def _read_only(keys: dict[str, Given], rwmode: Given | None) -> dict[str, Given]:
    """The keys of [server] with the `rwmode` of a file of the reference taken in."""
    if rwmode is None:
        return keys
    if rwmode.value == "fullwrite":
        refuse(rwmode.label, rwmode.value, '"readonly" or "": committed nodes are never written to')
    if rwmode.value not in ("", "readonly"):
        refuse(rwmode.label, rwmode.value, '"readonly" or ""')
    stated = keys.get("readOnly")
    if (
        rwmode.value
        and stated
        and stated.value is False
        and stated.label == rwmode.label.removesuffix("rwmode") + "readOnly"
    ):
        refuse(stated.label, stated.value, 'true, or no rwmode = "readonly" beside it')
    return {"readOnly": rwmode._replace(value=True), **keys} if rwmode.value else keys


def _check_stores(stores: tuple[Store, ...], given: Mapping[str, Mapping[str, Given]]) -> None:
    at: dict[str, str] = {}
    for store in stores:
        real = os.path.realpath(store.path)
        if real in at:
            label = given[store.name]["path"].label
            refuse(label, store.path, f"a folder of its own: store {values.shown(at[real])} is there")
        at[real] = store.name


def _check_backends(
    backends: Mapping[str, Backend], stores: Mapping[str, object], given: Mapping[str, Mapping[str, Given]]
) -> None:
    for what, backend in backends.items():
        if backend.store not in stores:
            names = ", ".join(values.shown(name) for name in sorted(stores)[:10]) or "none is declared"
            expected = f"one of the stores: {names}{did_you_mean(backend.store, stores)}"
            refuse(given[what]["store"].label, backend.store, expected)


def _admin_token(environ: Mapping[str, str]) -> str | None:
    token = environ.get(ADMIN_TOKEN_VARIABLE, "")
    if not all("!" <= c <= "~" for c in token):
        raise ConfigError(f"environment: {ADMIN_TOKEN_VARIABLE}: expected printable ASCII characters without spaces")
    return token or None

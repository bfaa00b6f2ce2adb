"""Promise: whatever a file, the environment or the command line holds, the answer is a Config or one line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvid.config import Config, load_config, reference
from dvid.config.layers import TABLES, keys_of
from dvid.config.toml import write_toml
from dvid.errors import ConfigError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(
    [key for table in TABLES for key in keys_of(table)]
    + [*reference.SERVER_KEYS, *reference.MUTATIONS_KEYS, "log", "rwmode", "enforce", "adminToken", "HTTPADDRESS"]
)


FITTING = {
    "httpAddress": [":8000", "0.0.0.0:1", "[::1]:80"],
    "note": ["", "a\nb \u2028 \x07"],
    "host": ["ä.example.org"],
    "corsDomains": [["*"], ["https://a.org", "b.org"]],
    "webClient": ["console", "~/x"],
    "workers": [1, 256],
    "accessLog": ["json", "off"],
    "readOnly": [True, False],
    "rwmode": ["", "readonly"],
    "bodyBytes": ["4 GB", 1, 2**63 - 1],
    "requestSeconds": [1, 0.25],
    "path": ["main", "./main", "/x/../y", "~/z"],
    "engine": ["lmdb", "LMDB", "filelog", "badger"],
    "durability": ["durable", "Relaxed"],
    "maxSize": ["4 GB", 2**20],
    "store": ["main", "a b.ä", "default"],
    "log": ["log"],
    "rpcAddress": [":8001"],
    "jsonstore": ["/x"],
    "enforce": ["none", "token"],
    "dsg_address": ["https://a.org"],
}
STORES = st.sampled_from(["main", "a b.ä", "default"])
BACKENDS = st.sampled_from(
    ["default", "metadata", "keyvalue", "gray:" + "0" * 32, "A" * 32, "a:b", "a=b", "gray:012345"]
)


def table_of(*known):
    """Tables with some of the keys `known`, each with a value that fits; now and then a stray key or value."""
    fitting = st.fixed_dictionaries({}, optional={key: st.sampled_from(FITTING[key]) for key in known})
    stray = st.dictionaries(keys | texts, values, min_size=1, max_size=2)
    return rarely(st.builds(dict.__or__, fitting, stray), fitting) if known else stray


def rarely(odd, usual):
    """One draw in eight from `odd`."""
    return st.integers(0, 7).flatmap(lambda n: odd if n == 7 else usual)


stores = st.builds(
    lambda path, table: {"path": path} | table,
    st.sampled_from(["a", "b", "c", "d"]),
    table_of("path", "engine", "durability", "maxSize"),
)
backends = st.builds(lambda store, table: {"store": store} | table, STORES, table_of("log"))
documents = rarely(
    st.dictionaries(
        texts | st.sampled_from(["server", "limits", "store", "backend", "auth", "kafka"]), values, max_size=3
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "server": table_of(*list(FITTING)[:9], "rpcAddress"),
            "limits": table_of("bodyBytes", "requestSeconds"),
            "store": st.dictionaries(rarely(texts, STORES), rarely(values, stores), max_size=3),
            "backend": st.dictionaries(rarely(texts, BACKENDS), rarely(values, backends), max_size=3),
            "mutations": table_of("jsonstore"),
            "auth": table_of("enforce", "dsg_address"),
            "kafka": rarely(values, st.just({})),
        },
    ),
)


def config_or_one_line(path, overrides, environ):
    try:
        config = load_config(path, overrides, environ=environ)
    except ConfigError as error:
        message = str(error)
        assert message
        assert message.isprintable(), message
        return None
    assert all(warning.isprintable() for warning in config.warnings)
    return config


@settings(max_examples=400)
@given(document=documents, data=rarely(values, st.sampled_from([None, "/data"])))
def test_any_document_gives_a_config_or_one_line(tmp_path, document, data):
    path = tmp_path / "any.toml"
    path.write_text(write_toml(document), encoding="utf-8", newline="")
    config = config_or_one_line(str(path), {"data": data}, {"HOME": "/home/ada"})
    if config is None:
        return
    assert config.default_store in config.stores
    path.write_text(config.to_toml(), encoding="utf-8", newline="")
    assert load_config(str(path), environ={}) == Config(
        config.server, config.limits, config.stores, config.backends, str(path)
    )


@settings(max_examples=200)
@given(content=st.binary(max_size=200))
def test_any_bytes_give_a_config_or_one_line(tmp_path, content):
    path = tmp_path / "any.toml"
    path.write_bytes(content)
    config_or_one_line(str(path), {}, {"HOME": "/home/ada"})


SETTINGS = ["data", *(f"{table}.{key}" for table in ("server", "limits") for key in keys_of(table))]
SETTINGS += ["store.main.path", "store.a.b.maxSize", "backend.default.store", "store..path", "store.path", "server"]


@settings(max_examples=300)
@given(
    overrides=st.dictionaries(
        st.sampled_from(SETTINGS) | st.text(max_size=12), values | st.text(max_size=12), max_size=4
    ),
    name=st.sampled_from(
        ["DVID_DATA", "DVID_SERVER_THREADS", "DVID_LIMITS_BODY_BYTES", "DVID_SERVER_X\n", "DVID_ADMIN_TOKEN"]
    ),
    text=st.text(max_size=12),
)
def test_any_option_and_variable_give_a_config_or_one_line(overrides, name, text):
    config_or_one_line(None, overrides, {"HOME": "/home/ada", name: text})


@pytest.mark.parametrize("key", keys_of("server"))
def test_every_key_of_server_refuses_a_table(tmp_path, key):
    path = tmp_path / "any.toml"
    path.write_text(f"[server.{key}]\n")
    with pytest.raises(ConfigError, match=rf"server\.{key} = a table: expected "):
        load_config(str(path), environ={})

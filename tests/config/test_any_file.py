"""Promise: whatever a file, the environment or the command line holds, the answer is a Config or one line."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dvid.config import Config, load_config, reference
from dvid.config.layers import TABLES, keys_of
from dvid.config.toml import write_toml
from dvid.errors import ConfigError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
likely = st.sampled_from(
    [
        "lmdb",
        "filelog",
        "badger",
        "relaxed",
        "readonly",
        "none",
        "token",
        "text",
        ":8000",
        "[::1]:80",
        "4 GB",
        "*",
        "main",
        "default",
        "~/x",
        "/x",
    ]
)
values = st.recursive(
    st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts | likely,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(
    [key for table in TABLES for key in keys_of(table)]
    + [*reference.SERVER_KEYS, *reference.MUTATIONS_KEYS, "log", "rwmode", "enforce", "adminToken", "HTTPADDRESS"]
)


def table_of(known):
    """Tables whose keys mostly are ones of `known`, with fitting and unfitting values."""
    return st.dictionaries(st.sampled_from(known) | keys | texts, values, max_size=4)


def named(known):
    """Tables of tables, for [store] and [backend]."""
    names = st.sampled_from(["main", "default", "metadata", "keyvalue", "gray:" + "0" * 32, "a:b", "0" * 32]) | texts
    return st.dictionaries(names, table_of(known) | values, max_size=3)


documents = st.fixed_dictionaries(
    {},
    optional={
        "server": table_of(keys_of("server")) | values,
        "limits": table_of(keys_of("limits")) | values,
        "store": named(keys_of("store")) | values,
        "backend": named(["store", "log"]) | values,
        "mutations": table_of(list(reference.MUTATIONS_KEYS)) | values,
        "auth": table_of(list(reference.AUTH_SWITCHES)) | values,
        "kafka": values,
    },
) | st.dictionaries(texts, values, max_size=3)


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


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(document=documents, data=st.none() | values)
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


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_give_a_config_or_one_line(tmp_path, content):
    path = tmp_path / "any.toml"
    path.write_bytes(content)
    config_or_one_line(str(path), {}, {"HOME": "/home/ada"})


SETTINGS = ["data", *(f"{table}.{key}" for table in ("server", "limits") for key in keys_of(table))]
SETTINGS += ["store.main.path", "store.a.b.maxSize", "backend.default.store", "store..path", "store.path", "server"]


@settings(max_examples=300, deadline=None)
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

"""Promise: the documentation of the settings is complete and up to date."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from dvid.config import reference
from dvid.config.document import document
from dvid.config.layers import TABLES, variable
from dvid.config.settings import settings_of

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_what_the_declarations_say():
    assert PAGE.read_text() == document(), "run: python -m dvid.config > docs/configuration.md"


def test_the_command_prints_the_page():
    printed = subprocess.run([sys.executable, "-m", "dvid.config"], capture_output=True, text=True, check=True)
    assert printed.stdout == PAGE.read_text()


@pytest.mark.parametrize("table", TABLES)
def test_every_field_is_a_documented_setting(table):
    declared = settings_of(TABLES[table])
    undeclared = {field.name for field in fields(TABLES[table])} - set(declared)
    assert undeclared <= {"name", "specifier"}
    for setting in declared.values():
        assert setting.meaning.endswith(".")
        assert setting.default
        assert f"| `{setting.key}` | {setting.kind.name} | " in PAGE.read_text()


def test_every_ignored_setting_is_named():
    text = PAGE.read_text()
    ignored = [reference.SERVER_KEYS, reference.STORE_KEYS, reference.BACKEND_KEYS, reference.MUTATIONS_KEYS]
    for key in (key for keys in ignored for key in keys):
        assert f" {key}` | " in text
    for table in reference.TABLES:
        assert f"| `[{table}]` | " in text


def test_the_defaults_the_page_shows_are_the_ones_in_force():
    server, limits = TABLES["server"](), TABLES["limits"]()
    for declared in (server, limits):
        for name, setting in settings_of(declared).items():
            if setting.default.startswith("`"):
                shown = setting.default.strip("`").strip('"')
                value = [] if shown == "[]" else {"true": True, "false": False}.get(shown, shown)
                if isinstance(value, str) and setting.kind.name not in ("text", "address", "URL path", "file"):
                    value = setting.kind.from_text(value)
                assert setting.kind.parse(value) == getattr(declared, name)


def test_each_setting_has_a_variable_of_its_own():
    names = [variable(table, s.key) for table in ("server", "limits") for s in settings_of(TABLES[table]).values()]
    assert len(set(names)) == len(names)

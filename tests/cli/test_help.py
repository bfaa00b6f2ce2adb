"""Help texts, and what the command costs before it does anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from dvid.cli import app
from dvid.cli.reference import command_line_page, commands

COMMANDS = list(commands(typer.main.get_command(app), []))
ROOT = Path(__file__).parents[2]


def helped(*words):
    # A terminal of 300 columns, so that no option is cut in two.
    return subprocess.run(
        [sys.executable, "-m", "dvid", *words, "--help"],
        env={**os.environ, "COLUMNS": "300", "TERMINAL_WIDTH": "300"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_the_help_of_a_command_explains_each_option_and_argument(words, command):
    text = helped(*(part for word in words for part in word.split()))
    for parameter in command.params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            if name.startswith("--"):
                assert name in text
        if parameter.name != "help":
            assert parameter.help, f"{parameter.name} is not explained"
            assert parameter.help.split(".")[0].split("[")[0] in " ".join(text.replace("│", " ").split())
    assert command.help.strip().splitlines()[0] in " ".join(text.split())


def test_the_help_names_all_commands():
    text = helped()
    for words, _ in COMMANDS:
        assert f" {words[0]} " in text


def test_help_loads_no_heavy_modules():
    listed = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dvid", "--help"], capture_output=True, text=True, check=True
    ).stderr
    loaded = {line.rpartition("|")[2].strip() for line in listed.splitlines()}
    assert "typer" in loaded
    assert not loaded & {"numpy", "numba", "lmdb", "h5py", "zarr", "granian", "urllib3", "msgspec", "dvid.http"}


def test_the_page_about_the_command_is_up_to_date():
    page = (ROOT / "docs" / "command-line.md").read_text()
    assert page == command_line_page(), "make docs"


def test_an_unknown_command_is_one_line_and_exit_code_2(plain):
    assert "frobnicate" in plain.fails("frobnicate", code=2)


def test_a_missing_argument_is_named(plain):
    complaint = plain.fails("repos", "new", code=2)
    assert "ALIAS" in complaint
    assert "dvid repos new --help" in complaint

"""The page about the command, made from the declarations that its help texts are made from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer.main

_HEAD = """# The `dvid` command

This page is generated from the command's own help texts: `make docs`. `dvid COMMAND --help` says the same.

Commands that read or change repos ask a running server: that of `--server URL`, else of the variable `DVID_SERVER`, else
http://127.0.0.1:8000. With `--data DIR` they open the store in that folder themselves, also while a server runs on it.
Where a server wants an admin token, it is taken from the variable `DVID_ADMIN_TOKEN`.

The exit code is 0; 1 where something failed; 2 where the command asks for what cannot be; 130 after Ctrl-C. What is
wrong is one line on standard error.
"""


def command_line_page() -> str:
    """The page, in Markdown."""
    from dvid.cli import app

    parts = [_HEAD]
    for words, command in commands(typer.main.get_command(app), ["dvid"]):
        parts.append("\n".join(_section(words, command)))
    return "\n".join(parts)


def commands(command: Any, words: list[str]) -> Iterator[tuple[list[str], Any]]:
    """All commands below one, with the words that call them: arguments of groups among them."""
    for name, child in command.commands.items():
        if getattr(child, "commands", None) is None:
            yield [*words, name], child
        else:
            yield from commands(child, [*words, name, *_arguments(child)])


def _section(words: list[str], command: Any) -> list[str]:
    usage = " ".join([*words, *_arguments(command)])
    lines = [f"## `{' '.join(words)}`", "", f"    {usage} [OPTIONS]", ""]
    lines += [line.strip() for line in command.help.strip().split("\n")]
    lines += ["", "| Argument or option | Meaning |", "| --- | --- |"]
    for parameter in command.params:
        if parameter.name == "help":
            continue
        if parameter.param_type_name == "argument":
            called = _metavar(parameter)
        else:
            value = "" if parameter.is_flag else f" {parameter.metavar or ''}"
            called = ", ".join([*parameter.opts, *parameter.secondary_opts]) + value
        lines.append(f"| `{called.strip()}` | {_cell(parameter)} |")
    return [*lines, ""]


def _cell(parameter: Any) -> str:
    text = str(parameter.help or "").replace("|", "\\|")
    if parameter.param_type_name == "option" and parameter.required:
        return f"{text} Required."
    default = parameter.default
    if isinstance(default, str | int) and not isinstance(default, bool) and default != "":
        return f"{text} Default: {default}." if "Default:" not in text else text
    return text


def _arguments(command: Any) -> list[str]:
    return [_metavar(parameter) for parameter in command.params if parameter.param_type_name == "argument"]


def _metavar(parameter: Any) -> str:
    name = str(parameter.metavar or parameter.name.upper()).strip("[]") + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"

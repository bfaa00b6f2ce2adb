"""`python -m dvid.cli > docs/command-line.md`: the page about the command, made from its help texts."""

from __future__ import annotations

from dvid.cli.reference import command_line_page

print(command_line_page(), end="")

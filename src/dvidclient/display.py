"""How objects show themselves: one line in a terminal, a small table in a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence, Sized


def counted(things: Sized, noun: str) -> str:
    """Such as ``1 version`` or ``2 versions``."""
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def html_fields(title: str, fields: Mapping[str, object]) -> str:
    """A heading and a table of two columns; fields that are None or empty are left out."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th><td style='text-align:left'>{html.escape(str(value))}</td></tr>"
        for name, value in fields.items()
        if value not in (None, "", [], {}, ())
    )
    return f"<div><b>{html.escape(title)}</b><table>{rows}</table></div>"


def html_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A heading and a table."""
    head = "".join(f"<th style='text-align:left'>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(str(value))}</td>" for value in row) + "</tr>"
        for row in rows
    )
    return f"<div><b>{html.escape(title)}</b><table><tr>{head}</tr>{body}</table></div>"

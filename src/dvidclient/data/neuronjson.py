"""What is known of neurons: a document of fields for each body."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

import urllib3

from dvidclient import answers, arguments
from dvidclient.data.calls import MISSING, ask, change, is_there
from dvidclient.data.instance import Instance
from dvidclient.errors import BadArgument, ServerRefused
from dvidclient.messages import keyvalues
from dvidclient.tables import data_frame

Fields = dict[str, Any]

_SHOWN = (None, "user", "time", "all")


class NeuronJson(Instance, MutableMapping[int, Fields]):
    """A mapping of bodies to dicts of fields: a neuronjson instance at a version. Not every server serves the data of this type.

    Servers keep who set a field, and when, in fields of their own, whose names end with ``_user`` and ``_time``. So writes must say
    who asks: ``dvidclient.connect(url, user="me")``. The field ``bodyid`` is the body.
    """

    def __getitem__(self, body: int) -> Fields:
        try:
            return ask(self, _path(body), f"reading body {body} of {self}", answers.fields)
        except ServerRefused as refused:
            if refused.status != MISSING:
                raise
            raise KeyError(body) from refused

    def __setitem__(self, body: int, fields: Mapping[str, Any]) -> None:
        """Replaces all fields of a body."""
        self._put(body, fields, replace=True)

    def set_fields(self, body: int, /, **fields: Any) -> None:
        """Sets some fields of a body; those that are not named stay."""
        self._put(body, fields, replace=False)

    def __delitem__(self, body: int) -> None:
        if body not in self:
            raise KeyError(body)
        change(self, _path(body), f"removing body {body} of {self}", answers.nothing, method="DELETE")

    def __contains__(self, body: object) -> bool:
        try:
            path = _path(body)
        except BadArgument:
            return False
        return is_there(self, path, f"asking for body {body} of {self}")

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(ask(self, "keys", f"listing the bodies of {self}", _bodies)))

    def __len__(self) -> int:
        return len(ask(self, "keys", f"listing the bodies of {self}", _bodies))

    def __bool__(self) -> bool:
        return True

    # ---- many at a time -------------------------------------------------------------------------

    def all(self, *, fields: Iterable[str] = (), show: str | None = None) -> list[Fields]:
        """All documents, by their bodies.

        Args:
            fields: only these; all if none are named.
            show: ``"user"``, ``"time"`` or ``"all"``: also who set the fields, and when.
        """
        return _sorted(ask(self, "all", f"reading {self}", answers.entries, query=_query(fields, show)))

    def query(
        self, *conditions: Mapping[str, Any], fields: Iterable[str] = (), show: str | None = None
    ) -> list[Fields]:
        """The documents that meet one of some conditions, by their bodies.

        Args:
            conditions: the values of fields, all of which a document must have: ``{"type": "KC", "side": ["L", "R"]}``. A string
                that begins with ``re/`` is a regular expression; ``exists/0`` and ``exists/1`` ask whether there is the field.
            fields: as of ``all``.
            show: as of ``all``.
        """
        wanted = list(map(dict, conditions))
        document = wanted[0] if len(wanted) == 1 else wanted
        return _sorted(
            ask(self, "query", f"asking {self}", answers.entries, document=document, query=_query(fields, show))
        )

    def get_many(self, bodies: Iterable[int]) -> dict[int, Fields]:
        """The documents of bodies, in one request; bodies that there are not are left out."""
        wanted = [str(arguments.label(body, "body")) for body in bodies]
        if not wanted:
            return {}
        what = f"reading {len(wanted)} bodies of {self}"
        found = ask(self, "keyvalues", what, answers.fields, document=wanted, query={"json": True})
        return {int(key): found[key] for key in wanted if found.get(key)}

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Replaces the fields of several bodies, in one request.

        Args:
            other: a mapping of bodies to their fields, or pairs of them.
            more: nothing: bodies are no names.
        """
        if more:
            raise BadArgument(f"bodies are numbers, got {next(iter(more))!r}: give a mapping of them")
        documents = {body: _document(body, fields) for body, fields in dict(other).items()}
        if documents:
            message = keyvalues.pairs_message((str(body), document) for body, document in documents.items())
            what = f"writing {len(documents)} bodies of {self}"
            change(self, "keyvalues", what, answers.nothing, body=message, query={"replace": True})

    def to_pandas(self, *, fields: Iterable[str] = (), show: str | None = None) -> Any:
        """A ``pandas.DataFrame`` of all documents, with a row for each and ``bodyid`` as the index; arguments as of ``all``.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        wanted = list(fields)
        found = self.all(fields=["bodyid", *wanted] if wanted else (), show=show)
        return data_frame(found, None if found else ["bodyid"]).set_index("bodyid")

    def _put(self, body: int, fields: Mapping[str, Any], replace: bool) -> None:
        document = _document(body, fields)
        what = f"writing body {body} of {self}"
        change(self, _path(body), what, answers.nothing, body=document, query={"replace": replace})


def _path(body: Any) -> str:
    return f"key/{arguments.label(body, 'body')}"


def _document(body: Any, fields: Any) -> bytes:
    body = arguments.label(body, "body")
    if not isinstance(fields, Mapping) or fields.get("bodyid", body) != body:
        raise BadArgument(f"fields of body {body}: expected a dict of that body, got {fields!r}")
    return json.dumps({**fields, "bodyid": body}).encode()


def _query(fields: Iterable[str], show: str | None) -> dict[str, Any]:
    if show not in _SHOWN:
        raise BadArgument(f"show: expected 'user', 'time' or 'all', got {show!r}")
    return {"fields": ",".join(fields) or None, "show": show}


def _sorted(documents: list[Any]) -> list[Fields]:
    return sorted((one for one in documents if isinstance(one, dict)), key=lambda one: one.get("bodyid") or 0)


def _bodies(response: urllib3.BaseHTTPResponse) -> list[int]:
    try:
        return [int(key) for key in answers.entries(response)]
    except (TypeError, ValueError) as error:
        raise answers.Broken(f"expected a list of bodies: {error}") from None

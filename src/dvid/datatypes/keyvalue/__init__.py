"""Key-values: any text names any bytes, each with all its versions."""

from __future__ import annotations

from typing import Any

from dvid.datatypes.base import Datatype, Options
from dvid.datatypes.keyvalue.mapping import KeyValues
from dvid.datatypes.keyvalue.routes import ROUTES


def _configure(_: Options) -> dict[str, Any]:
    return {}


DATATYPES = (
    Datatype(
        name="keyvalue",
        about="Stores values of any bytes under keys of any text, such as annotations, settings and small files. Keys "
        "are kept in the order of their UTF-8 bytes, so that ranges of them can be asked for.",
        configure=_configure,
        settings_about={
            "versioned": "false: all nodes of the repo share one set of values, that can be changed at any node, "
            "committed or not. Default: true.",
        },
        routes=ROUTES,
        handle=KeyValues,
        version="0.2",
    ),
)

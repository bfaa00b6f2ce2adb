"""Lists of dicts as tables of pandas, where that is installed."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any


def data_frame(rows: Iterable[Mapping[str, Any]], columns: Iterable[str] | None = None) -> Any:
    """A ``pandas.DataFrame``.

    Args:
        rows: a dict for each row.
        columns: which, in their order; all that a row has if not given.

    Raises:
        ModuleNotFoundError: pandas is not installed.
    """
    try:
        pandas = importlib.import_module("pandas")
    except ImportError as error:
        raise ModuleNotFoundError("this needs the package pandas: pip install 'dvidclient[pandas]'") from error
    return pandas.DataFrame(list(rows), columns=None if columns is None else list(columns))

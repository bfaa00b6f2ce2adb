"""How a type that is known but not served is declared: by its settings, and by what its infos show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dvid.datatypes.base import Datatype, Options
from dvid.versions.view import View


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of new instances."""

    name: str
    about: str
    read: Callable[[Options, str], Any]
    """Takes it from the options by its name."""
    shown: str = ""
    """Its name in infos, where that is another."""


@dataclass(frozen=True, slots=True)
class Basis:
    """Settings that come in a group, and how infos show them."""

    configure: Callable[[Options], dict[str, Any]] = lambda _: {}
    about: Mapping[str, str] = field(default_factory=dict)
    extended: Callable[[View], dict[str, Any]] = lambda _: {}


def known_type(
    name: str,
    about: str,
    *settings: Setting,
    basis: Basis | None = None,
    constants: Mapping[str, Any] | None = None,
    beside: Callable[[View], dict[str, Any]] = lambda _: {},
    compression: str = "lz4",
) -> Datatype:
    """A type that is known but not served.

    Args:
        name: of the type.
        about: what it is for.
        settings: of its instances, beside those of the basis.
        basis: a group of settings.
        constants: what infos of all instances show alike, as long as they hold no data.
        beside: what infos show beside "Base" and "Extended".
        compression: of instances that don't name one.
    """
    group = basis or Basis()

    def configure(options: Options) -> dict[str, Any]:
        own = {setting.shown or setting.name: setting.read(options, setting.name) for setting in settings}
        return {**group.configure(options), **own}

    def extended(view: View) -> dict[str, Any]:
        own = {shown: view.instance.settings[shown] for setting in settings if (shown := setting.shown or setting.name)}
        return {**group.extended(view), **own, **(constants or {})}

    return Datatype(
        name=name,
        about=about,
        configure=configure,
        settings_about={**group.about, **{setting.name: setting.about for setting in settings}},
        extended=extended,
        beside=beside,
        compression=compression,
        version="0.1",
        served=False,
    )

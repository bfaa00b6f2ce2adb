"""What every datatype declares of itself, and how it is found by name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from dvid.datatypes.handles import Handle
from dvid.errors import BadRequest
from dvid.routes import Route
from dvid.storage.protocol import Transaction
from dvid.versions.catalogue import checked_name
from dvid.versions.edit import Edit
from dvid.versions.instances import create_instance
from dvid.versions.records import InstanceRecord, NodeRecord
from dvid.versions.stores import Choice
from dvid.versions.verify import ContentCheck, InstanceCheck, Repair
from dvid.versions.view import View
from dvid.versions.work import Task


class Options:
    """The settings given for a new instance: names in any case, values text or JSON. What is not taken is refused."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = {name.lower(): (name, value) for name, value in given.items()}

    def take(self, name: str, default: str | None = None) -> str | None:
        """A setting as text, or the default."""
        _, value = self._given.pop(name.lower(), (name, default))
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return repr(value)
        if isinstance(value, list) and all(isinstance(v, str | int | float) for v in value):
            return ",".join(str(v) for v in value)
        raise BadRequest(f"{name}: text or a number was expected, not {value!r}")

    def numbers(self, name: str, default: tuple[float, ...], count: int = 3) -> tuple[float, ...]:
        """A setting of several numbers, like "32,32,32"."""
        text = self.take(name)
        if text is None:
            return default
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            values = ()
        if len(values) != count or not all(abs(value) < 1e15 for value in values):
            raise BadRequest(f"{name}: {count} numbers separated by commas were expected, not {text!r}")
        return values

    def integers(self, name: str, default: tuple[int, ...], count: int = 3) -> tuple[int, ...]:
        """A setting of several whole numbers."""
        values = self.numbers(name, default, count)
        if any(value != int(value) for value in values):
            raise BadRequest(f"{name}: whole numbers were expected, not {values}")
        return tuple(int(value) for value in values)

    def integer(self, name: str, default: int, minimum: int, maximum: int) -> int:
        """A setting of one whole number."""
        text = self.take(name)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            raise BadRequest(f"{name}: a whole number was expected, not {text!r}") from None
        if not minimum <= value <= maximum:
            raise BadRequest(f"{name}: a number from {minimum} to {maximum} was expected, not {value}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """A setting that is true or false."""
        text = self.take(name)
        if text is None:
            return default
        lowered = text.lower()
        if lowered in ("true", "1", "on"):
            return True
        if lowered in ("false", "0", "off"):
            return False
        raise BadRequest(f"{name}: true or false was expected, not {text!r}")

    def finish(self) -> None:
        """Refuse what nobody took.

        Raises:
            BadRequest: a setting is unknown.
        """
        if self._given:
            names = ", ".join(sorted(name for name, _ in self._given.values()))
            raise BadRequest(f"unknown settings for this type of data: {names}")


@dataclass(frozen=True, slots=True)
class Work:
    """What a type does in the background: see `dvid.versions.work`."""

    compute: Callable[[View, Sequence[Task]], Sequence[Any]]
    """Makes the result of each task; the tasks are of the view's version."""
    store: Callable[[Edit, Sequence[Task], Sequence[Any]], int]
    """Stores those results that are still wanted, and takes their tasks off the list; how many."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """How `dvid verify` looks at a type's data: see `dvid.versions.verify`."""

    check_value: ContentCheck
    """Checks one value."""
    check: InstanceCheck
    """Checks whether the values of an instance fit together."""
    repair: Repair
    """Mends what does not."""


def _nothing(_: View) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Datatype:
    """A kind of data that instances can hold."""

    name: str
    about: str
    """What it is for, in a sentence or two."""
    configure: Callable[[Options], dict[str, Any]]
    """Takes its settings from the options of a new instance and gives what the instance's record keeps."""
    settings_about: Mapping[str, str]
    """Each setting and what it means."""
    extended: Callable[[View], dict[str, Any]] = _nothing
    """The "Extended" part of an instance's info."""
    beside: Callable[[View], dict[str, Any]] = _nothing
    """What an info has beside "Base" and "Extended"."""
    routes: tuple[Route, ...] = ()
    compression: str = "lz4"
    """Compression of instances that don't name one."""
    version: str = "1.0"
    work: Work | None = None
    """What it does in the background."""
    upkeep: Upkeep | None = None
    """How its data is checked; None for types whose values only have to decompress."""
    served: bool = True
    """False for types that can be made and described, but whose data is not served yet."""
    handle: type[Handle] = Handle
    """What an instance is to Python programs."""


@cache
def datatypes() -> Mapping[str, Datatype]:
    """All datatypes by name: each package in this folder names its own in `DATATYPES`."""
    import dvid.datatypes

    found: dict[str, Datatype] = {}
    for module in pkgutil.iter_modules(dvid.datatypes.__path__, "dvid.datatypes."):
        if module.ispkg:
            for datatype in importlib.import_module(module.name).DATATYPES:
                found[datatype.name] = datatype
    return dict(sorted(found.items()))


def datatype(name: str) -> Datatype:
    """The datatype of that name.

    Raises:
        BadRequest: there is none.
    """
    try:
        return datatypes()[name]
    except KeyError:
        raise BadRequest(f"there is no type of data named {name!r}; the types are {', '.join(datatypes())}") from None


# ---- new instances ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewInstance:
    """What is wanted of a new data instance, checked as far as it can be without a store."""

    name: str
    typename: str
    settings: Mapping[str, Any]
    """What the instance's record keeps of the settings of the type."""
    compression: str
    versioned: bool
    tags: Mapping[str, str] | None


def wanted_instance(given: Mapping[str, Any]) -> NewInstance:
    """Read what is given for a new data instance.

    Args:
        given: "typename", "dataname"; optional "versioned", "Compression", "Tags", and the settings of the type.

    Raises:
        BadRequest: something is missing, unknown or not what it should be.
    """
    options = Options(given)
    typename, name = options.take("typename"), options.take("dataname")
    if not typename or not name:
        raise BadRequest('"typename" and "dataname" are needed, like {"typename": "uint8blk", "dataname": "grayscale"}')
    kind = datatype(typename)
    versioned = options.flag("versioned", True)
    compression = checked_compression(options.take("Compression") or kind.compression)
    tags = _parsed_tags(options.take("Tags"))
    settings = kind.configure(options)
    options.finish()
    return NewInstance(checked_name(name), typename, settings, compression, versioned, tags)


def new_instance(
    transaction: Transaction, node: NodeRecord, given: Mapping[str, Any], choose: Choice | None = None
) -> InstanceRecord:
    """Make a data instance on an open node.

    Args:
        transaction: in which.
        node: on which node.
        given: as `wanted_instance` takes it.
        choose: names the store of its data.

    Raises:
        BadRequest: something is missing, unknown or not what it should be.
        LockedNode: the node is committed.
    """
    wanted = wanted_instance(given)
    return create_instance(
        transaction,
        node,
        name=wanted.name,
        typename=wanted.typename,
        settings=wanted.settings,
        compression=wanted.compression,
        versioned=wanted.versioned,
        tags=wanted.tags,
        choose=choose,
    )


def _parsed_tags(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",") if part]
    if not all(key and equals for key, equals, _ in pairs):
        raise BadRequest(f"Tags: name=value pairs separated by commas were expected, not {text!r}")
    return {key: value for key, _, value in pairs}


# ---- info ---------------------------------------------------------------------------------------

_COMPRESSION_NAMES = {
    "none": "No compression",
    "lz4": "LZ4 compression",
    "gzip": "gzip compression",
    "snappy": "Go Snappy compression",
    "jpeg": "jpeg compression",
}  # as the reference server words them: clients look for "jpeg"
_DEFAULT_LEVELS = {"jpeg": 32}


def checked_compression(text: str) -> str:
    """A compression setting like "lz4" or "jpeg:80", if it is one.

    Raises:
        BadRequest: it is not.
    """
    kind, colon, level = text.lower().partition(":")
    if kind not in _COMPRESSION_NAMES or (colon and not (level.lstrip("-").isdigit() and -1 <= int(level) <= 100)):
        raise BadRequest(
            f"Compression: one of {', '.join(_COMPRESSION_NAMES)}, with an optional :level, was expected, not {text!r}"
        )
    return kind + colon + level


def describe(view: View) -> dict[str, Any]:
    """The info of an instance, in the layout of the reference server."""
    kind = datatype(view.instance.typename)
    return {**describe_record(view.instance), "Extended": kind.extended(view), **kind.beside(view)}


def describe_record(instance: InstanceRecord) -> dict[str, Any]:
    """What the info of an instance says whatever its data is: "Base"."""
    kind = datatype(instance.typename)
    compression, _, level = instance.compression.partition(":")
    store = f"lmdb, store {instance.store}" if instance.store else "lmdb"
    base = {
        "TypeName": instance.typename,
        "TypeURL": f"dvid/datatypes/{instance.typename}",
        "TypeVersion": kind.version,
        "DataUUID": instance.data_uuid,
        "Name": instance.name,
        "RepoUUID": instance.created_uuid,
        "Compression": f"{_COMPRESSION_NAMES[compression]}, level {level or _DEFAULT_LEVELS.get(compression, -1)}",
        "Checksum": "No checksum",
        "Syncs": list(instance.syncs),
        "Versioned": instance.versioned,
        "KVStore": store,
        "LogStore": store,
        "Tags": instance.tags,
    }
    return {"Base": base}

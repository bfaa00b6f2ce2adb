"""The settings of labelblk instances, and requests that change settings of these and of labelvols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dvid.datatypes.base import Options
from dvid.datatypes.descriptions import METADATA, metadata
from dvid.datatypes.voxels import voxel_extended, voxel_settings
from dvid.errors import BadRequest
from dvid.routes import TEXT, Call, Reply, Route, json_reply, text_reply
from dvid.storage.protocol import Transaction
from dvid.versions.instances import change_instance
from dvid.versions.records import InstanceRecord
from dvid.versions.view import View

_SUB = 8  # edge of a sub-block of the compressed layout in which blocks are kept


def check_block_size(settings: dict[str, Any]) -> None:
    """Refuse blocks that cannot be kept.

    Raises:
        BadRequest: an edge is no multiple of 8.
    """
    if any(edge % _SUB for edge in settings["BlockSize"]):
        edges = ",".join(map(str, settings["BlockSize"]))
        raise BadRequest(f"BlockSize: multiples of {_SUB} were expected, not {edges}")


def configure(options: Options) -> dict[str, Any]:
    """The settings of a new labelblk."""
    values = [{"DataType": "uint64", "Label": "labelblk"}]
    settings = voxel_settings(options, values=values, interpolable=False, block_size=32)
    check_block_size(settings)
    return {**settings, "IndexedLabels": True, "MaxDownresLevel": 0}


def extended(view: View) -> dict[str, Any]:
    """The "Extended" part of an instance's info. As in the reference server, it has no blocks of the extents: metadata has."""
    return {**voxel_extended(view), "MinIndex": None, "MaxIndex": None}


def get_metadata(call: Call) -> Reply:
    """Describe the layout of the volume."""
    with call.view() as view:
        return json_reply({**metadata(view), "Properties": voxel_extended(view)}, METADATA)


def setting_routes(read: Callable[[Options], dict[str, Any]], changeable: Sequence[str]) -> tuple[Route, ...]:
    """The requests that change settings of an instance.

    Args:
        read: takes the settings of a new instance.
        changeable: those that change nothing of what is stored.
    """
    names = {name.lower(): name for name in changeable}
    listed = ", ".join(changeable)

    def change(call: Call, *, told: bool) -> Reply:
        given = call.json()
        if not isinstance(given, dict):
            raise BadRequest('a JSON object of settings was expected, like {"VoxelSize": "8,8,8"}')
        wrong = sorted(name for name in given if name.lower() not in names)
        if wrong:
            raise BadRequest(f"{', '.join(wrong)}: only {listed} can be changed later")
        made = read(Options(given))
        changed = {names[name.lower()]: made[names[name.lower()]] for name in given}

        def put(transaction: Transaction, instance: InstanceRecord) -> Reply:
            change_instance(transaction, instance, settings={**instance.settings, **changed})
            text = f"Changed {instance.name!r}: {', '.join(changed) or 'nothing'}\n"
            return text_reply(text) if told else Reply(b"", TEXT)

        return call.configure(put)

    def post_info(call: Call) -> Reply:
        """Change settings."""
        return change(call, told=False)

    def post_instance(call: Call) -> Reply:
        """Change settings, and tell which."""
        return change(call, told=True)

    def route(path: str, handler: Callable[..., Reply], about: str) -> Route:
        body = 'A JSON object of settings, like {"VoxelSize": "8,8,8"}.'
        return Route("POST", path, handler, about, body=body, answers=TEXT, writes=True, of_node=False)

    return (
        route("/info", post_info, f"Change settings of the instance: {listed}."),
        route(
            "/",
            post_instance,
            "The same by a POST to the instance itself, with or without the slash; answers a line of text.",
        ),
    )


CHANGEABLE = ("VoxelSize", "VoxelUnits", "Background", "GridStore", "ScaleLevel")
"""Settings of a labelblk that can be changed later."""

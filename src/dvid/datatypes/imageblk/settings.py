"""The image types and the settings of their instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dvid.datatypes.base import Options
from dvid.datatypes.voxels import voxel_settings

Values = list[dict[str, str]]

TYPES: dict[str, Values] = {
    "uint8blk": [{"DataType": "uint8", "Label": "uint8"}],
    "uint16blk": [{"DataType": "uint16", "Label": "uint16"}],
    "uint32blk": [{"DataType": "uint32", "Label": "uint32"}],
    "uint64blk": [{"DataType": "uint64", "Label": "uint64"}],
    "float32blk": [{"DataType": "float32", "Label": "float32"}],
    "rgba8blk": [{"DataType": "uint8", "Label": label} for label in ("red", "green", "blue", "alpha")],
}
"""For each type: the channels of a voxel."""

MAX_CHANNELS = 64


def configurer(values: Values) -> Callable[[Options], dict[str, Any]]:
    """What takes the settings of a new instance whose voxels have these channels, unless it says otherwise."""

    def configure(options: Options) -> dict[str, Any]:
        channels = options.integer("Channels", len(values), 1, MAX_CHANNELS)
        chosen = values
        if channels != len(values):
            chosen = [{"DataType": values[0]["DataType"], "Label": f"channel {number}"} for number in range(channels)]
        return voxel_settings(options, values=chosen, interpolable=True, block_size=32)

    return configure

"""Tiles of images at several resolutions."""

from __future__ import annotations

from dvid.datatypes.base import Options
from dvid.datatypes.known.declaration import Setting, known_type
from dvid.errors import BadRequest

_ENCODINGS = {"lz4": 0, "png": 1, "jpg": 2}


def _encoding(options: Options, name: str) -> int:
    text = options.take(name, "png") or ""
    try:
        return _ENCODINGS[text.lower()]
    except KeyError:
        raise BadRequest(f"{name}: one of {', '.join(_ENCODINGS)} was expected, not {text!r}") from None


DATATYPES = (
    known_type(
        "imagetile",
        "Tiles of an image volume at several resolutions, made beforehand, for viewers.",
        Setting("Source", "Name of the uint8blk instance whose tiles these are.", lambda o, name: o.take(name) or ""),
        Setting("Placeholder", "true: a placeholder stands for a missing tile.", lambda o, name: o.flag(name, False)),
        Setting("Format", "How tiles are kept: png, jpg or lz4; png if not given.", _encoding, "Encoding"),
        constants={"MinTileCoord": [0, 0, 0], "MaxTileCoord": [0, 0, 0], "Levels": {}, "Quality": 0},
        compression="none",
    ),
)

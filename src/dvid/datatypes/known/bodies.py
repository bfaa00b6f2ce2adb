"""What goes with label volumes: rankings of labels by their annotations, files of supervoxels."""

from __future__ import annotations

import re

from dvid.datatypes.base import Options
from dvid.datatypes.known.declaration import Setting, known_type
from dvid.errors import BadRequest

_EXTENSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


def _region(options: Options, name: str) -> str:
    text = options.take(name)
    if text is None:
        return ""
    parts = text.split(",")
    if len(parts) != 2 or not all(parts):
        raise BadRequest(f"{name}: a region and a node, like medulla,3f8c, were expected, not {text!r}")
    return text


def _extension(options: Options, name: str) -> str:
    text = options.take(name)
    if text is None or not _EXTENSION.fullmatch(text):
        raise BadRequest(f'{name}: the ending of file names, like "dat", was expected, not {text!r}')
    return text


DATATYPES = (
    known_type(
        "labelsz",
        "Ranks labels by the number of annotations on them.",
        Setting(
            "ROI",
            "Count inside this region only: the name of a roi instance and a node, like medulla,3f8c.",
            _region,
            "StaticROI",
        ),
    ),
    known_type(
        "tarsupervoxels",
        "A file for each supervoxel, such as a mesh; those of a body can be had as one tar file.",
        Setting("Extension", "The ending of the files' names, like dat or drc. It must be given.", _extension),
    ),
)

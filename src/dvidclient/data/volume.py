"""A volume as an array: sliced by the positions of its voxels."""

from __future__ import annotations

from typing import Any

from dvidclient.data.instance import Instance


class Volume(Instance):
    """A volume of images."""

    def _told(self) -> str:
        return f": {self.settings.get('Values')}"

    def __getitem__(self, key: Any) -> Any:
        raise NotImplementedError

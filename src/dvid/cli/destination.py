"""Where an import goes: the region that a source takes, the instance that is made for it, and whether it fits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dvid.cli.target import LABEL_TYPES, OpenVolume, Target
from dvid.errors import BadRequest, DvidError
from dvid.geometry import MAX_COORDINATE, MIN_COORDINATE, Box, Xyz, Zyx, reverse3

if TYPE_CHECKING:
    from dvid.interop import VolumeSource

LOWEST_BITS = 9
"""A new labelmap has as many lower resolutions as it takes until 2^9 = 512 voxels hold each of its sides."""


def region_of(source: VolumeSource, offset_xyz: Xyz | None) -> Box:
    """The voxels that a source takes.

    Args:
        source: what is written.
        offset_xyz: where its first voxel goes; if None, where the source has it.

    Raises:
        BadRequest: they reach beyond the coordinates that there are.
    """
    region = Box.at(source.origin_zyx if offset_xyz is None else reverse3(offset_xyz), source.shape_zyx)
    if min(region.start_zyx) < MIN_COORDINATE or max(region.stop_zyx) > MAX_COORDINATE:
        raise BadRequest(
            f"a volume of {region.shape_zyx[::-1]} at {reverse3(region.start_zyx)} reaches beyond 32-bit coordinates"
        )
    return region


def settings_for(
    source: VolumeSource, typename: str | None, block_xyz: Xyz | None = None, scales: int | None = None
) -> dict[str, str]:
    """The settings of an instance for a source, "typename" among them.

    Raises:
        BadRequest: it would have no lower resolutions, and some are wanted.
    """
    if typename is None and source.is_segmentation:
        typename = "labelmap"
    rgba = source.dtype.name == "uint8" and source.channels == 4
    settings = {"typename": typename or ("rgba8blk" if rgba else f"{source.dtype.name}blk")}
    if source.channels > 1 and settings["typename"] != "rgba8blk":
        settings["Channels"] = str(source.channels)
    if settings["typename"] in LABEL_TYPES:
        lower = max(0, (max(source.shape_zyx) - 1).bit_length() - LOWEST_BITS)
        settings["MaxDownresLevel"] = str(lower if scales is None else scales)
    elif scales is not None:
        raise BadRequest(f"--scales is for labelmap instances, not for {settings['typename']}")
    if block_xyz is not None:
        settings["BlockSize"] = ",".join(map(str, block_xyz))
    if source.voxel_size_zyx is not None:
        settings["VoxelSize"] = ",".join(f"{edge:.17g}" for edge in reversed(source.voxel_size_zyx))
        if source.units:
            settings["VoxelUnits"] = ",".join([source.units] * 3)
    return settings


def check_new(source: VolumeSource, name: str, settings: dict[str, str], region: Box, *, mapped: bool = False) -> None:
    """Refuse what cannot be an instance, or not one that holds a source, before it is made.

    Args:
        source: what would be written to it.
        name: of the instance.
        settings: as `settings_for` gives them.
        region: where the source would go.
        mapped: a mapping is to be applied to it.

    Raises:
        BadRequest: the type holds no volumes, or others, or has no such settings, or the name cannot be one.
    """
    import numpy as np

    from dvid.datatypes.base import wanted_instance
    from dvidclient.typenames import VOXELS_OF, has_any_channels

    typename = settings["typename"]
    if typename not in VOXELS_OF:
        raise BadRequest(
            f"{source.name} has {source.dtype} voxels: no volume can be made for them of the type {typename}, "
            f"only of {', '.join(VOXELS_OF)}; --type names another one"
        )
    dtype, channels = VOXELS_OF[typename]
    channels = source.channels if has_any_channels(typename) else channels
    is_labels = typename in LABEL_TYPES
    _check(source, f"a {typename}", np.dtype(dtype), channels, is_labels=is_labels)
    wanted = wanted_instance({**settings, "dataname": name})
    is_indexed = is_labels and wanted.settings["IndexedLabels"]
    _check_mapped(name, mapped, is_labels=is_labels, is_indexed=is_indexed)
    x, y, z = wanted.settings["BlockSize"]
    _check_place(source, region, (z, y, x), is_indexed=is_indexed)


def check_fits(source: VolumeSource, volume: OpenVolume, region: Box, *, mapped: bool = False) -> None:
    """Refuse what an instance that is there cannot hold, before any of it is written.

    Args:
        source: what would be written.
        volume: the instance.
        region: where the source would go.
        mapped: a mapping is to be applied to it.

    Raises:
        BadRequest: it holds other voxels, or not there.
    """
    info = volume.info
    _check(source, repr(info.name), info.dtype, info.channels, is_labels=info.is_labels)
    _check_mapped(info.name, mapped, is_labels=info.is_labels, is_indexed=info.is_indexed)
    _check_place(source, region, info.block_zyx, is_indexed=info.is_indexed)


def _check(source: VolumeSource, what: str, dtype: Any, channels: int, *, is_labels: bool) -> None:
    import numpy as np

    floats = source.dtype.kind == dtype.kind == "f"
    labels = is_labels and source.dtype.kind in "iu"  # signed ones are looked at as they come
    if not (floats or labels or np.can_cast(source.dtype, dtype, "safe")):
        raise BadRequest(f"{source.name} has {source.dtype} voxels, which {what} cannot hold as {dtype}")
    if source.channels != channels:
        raise BadRequest(f"{source.name} has {source.channels} channel(s), {what} has {channels}")


def _check_mapped(name: str, mapped: bool, *, is_labels: bool, is_indexed: bool) -> None:
    if mapped and not is_labels:
        raise BadRequest(f"--mapping is for labels; {name!r} holds an image")
    if mapped and not is_indexed:
        raise BadRequest(
            f"--mapping needs an index of where labels are; {name!r} keeps none: it was made with IndexedLabels=false"
        )


def _check_place(source: VolumeSource, region: Box, block_zyx: Zyx, *, is_indexed: bool) -> None:
    if not is_indexed:
        return
    from dvid.datatypes.labelmap.writes import check_keys

    try:
        check_keys(region.blocks(block_zyx))
    except BadRequest as why:
        shape, start, block = map(reverse3, (region.shape_zyx, region.start_zyx, block_zyx))
        raise BadRequest(f"{source.name}, {shape} voxels at {start}, cannot go into blocks of {block}: {why}") from None


def make_volume(target: Target, uuid: str, name: str, settings: dict[str, str]) -> None:
    """Make an instance for a source that fits, and say so."""
    from dvid.cli.output import say

    rest = {key: value for key, value in settings.items() if key != "typename"}
    target.make_instance(uuid, settings["typename"], name, rest)
    say(f"made the {settings['typename']} instance {name!r}")


@contextmanager
def removed_if_empty(target: Target, uuid: str, name: str) -> Iterator[None]:
    """Remove a new instance again if what is done to it fails before anything is written, or say that it remains."""
    from dvid.cli.output import in_xyz, say
    from dvidclient.errors import ClientError

    try:
        yield
    except Exception:
        try:
            written = target.volume(uuid, name).info.extents
            if written is None:
                target.delete_instance(uuid, name)
                say(f"removed the instance {name!r} again: nothing had been written to it. Node {uuid} remains")
            else:
                say(f"the instance {name!r} remains, with voxels in {in_xyz(written)} (x, y, z)")
        except (DvidError, ClientError) as why:
            say(f"the instance {name!r} remains at node {uuid}: {why}")
        raise

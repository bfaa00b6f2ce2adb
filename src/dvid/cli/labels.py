"""`dvid node UUID NAME ...` for segmentations: pictures, dumps, counters of labels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from dvid.cli.opening import open_target
from dvid.cli.options import Data, Server, Workers
from dvid.cli.target import OpenLabels
from dvid.errors import BadRequest, Conflict
from dvid.geometry import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INSTANCE = "dvid.instance"
"""Where the name of the instance is kept, which stands before the word of the command."""

DUMPS = ("svcount", "mappings", "indices")

File = Annotated[str, typer.Argument(metavar="FILE", help="The file to write; it must not be there yet.")]


def composite(
    context: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A uint8blk volume of the same repo.")],
    new: Annotated[
        str, typer.Argument(metavar="NEW", help="The rgba8blk volume to write; it is made if it is not there.")
    ],
    workers: Workers = 2,
    server: Server = None,
    data: Data = None,
) -> None:
    """Make a colour volume of the labels NAME and an image: a colour for each body, the image as opacity."""
    import numpy as np

    from dvid.cli.boxes import boxes_of, choose_step, work_through
    from dvid.cli.output import in_xyz, progress_bar, say
    from dvid.kernels.colours import pseudocolours

    with open_target(server, data) as target:
        uuid = target.node(context.obj)
        labels, gray = target.labels(uuid, context.meta[INSTANCE]), target.volume(uuid, image)
        if gray.info.dtype != np.uint8 or gray.info.channels != 1:
            raise BadRequest(f"{image!r} holds {gray.info.dtype} voxels; an image of uint8 was expected")
        region = labels.info.extents
        if region is None:
            raise BadRequest(f"{labels.info.name!r} is empty")
        if not target.has_instance(uuid, new):
            sizes = ",".join(f"{edge:g}" for edge in reversed(labels.info.voxel_size_zyx))
            units = ",".join(reversed(labels.info.units_zyx))
            target.make_instance(uuid, "rgba8blk", new, {"VoxelSize": sizes, "VoxelUnits": units})
        made = target.volume(uuid, new)
        if made.info.dtype != np.uint8 or made.info.channels != 4:
            raise BadRequest(f"{new!r} is no rgba8blk volume")

        def work(box: Box) -> None:
            out = np.empty((*box.shape_zyx, 4), np.uint8)
            found = np.ascontiguousarray(labels.read(box), np.uint64)
            out[..., :3] = pseudocolours(found.reshape(-1, box.shape_zyx[2])).reshape(*box.shape_zyx, 3)
            out[..., 3] = gray.read(box)
            made.write(box, out)

        block = made.info.block_zyx
        step = choose_step(block, labels.info.block_zyx, region.shape_zyx, 8)
        with progress_bar("composing", region.voxels * 4) as advance:
            work_through(
                boxes_of(region, block, step),
                work,
                lambda boxes: advance(sum(box.voxels for box in boxes) * 4),
                workers,
            )
        say(f"wrote {in_xyz(region)} (x, y, z) to {new!r} at node {uuid}")


def dump(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="svcount, mappings or indices.")],
    file: File,
    server: Server = None,
    data: Data = None,
) -> None:
    """Write what there is of the labels NAME to a text file, numbers with spaces between them.

    svcount: supervoxel, block z, y, x, voxels: a line for each block of each supervoxel.
    indices: the same, with the body before it.
    mappings: supervoxel, body: a line for each supervoxel that belongs to a body of another number.
    """
    from dvid.cli.output import say

    if kind not in DUMPS:
        raise typer.BadParameter(f"KIND: one of {', '.join(DUMPS)} was expected, not {kind!r}")
    with open_target(server, data, read_only=True) as target:
        labels = target.labels(target.node(context.obj), context.meta[INSTANCE])
        rows = write_new(file, (_text(columns) for columns in _columns(labels, kind)))
    say(f"wrote {rows} lines to {file}")


def _columns(labels: OpenLabels, kind: str) -> Iterator[list[NDArray[np.generic]]]:
    import numpy as np

    if kind == "mappings":
        for supervoxels, bodies in labels.mappings():
            yield [supervoxels, bodies]
        return
    for found in labels.indices():
        bodies = np.repeat(found.labels, np.diff(found.bounds))
        columns: list[NDArray[np.generic]] = [found.supervoxels, *found.blocks_zyx.T, found.counts]
        yield [bodies, *columns] if kind == "indices" else columns


def _text(columns: list[NDArray[np.generic]]) -> tuple[bytes, int]:
    """Lines of numbers, and how many. JSON writes the numbers, only what stands between them is another."""
    import msgspec
    import numpy as np

    rows, wide = len(columns[0]), len(columns)
    if not rows:
        return b"", 0
    numbers: list[object] = [None] * (rows * wide)
    for at, column in enumerate(columns):
        numbers[at::wide] = column.tolist()
    text = np.frombuffer(msgspec.json.encode(numbers), np.uint8)[1:].copy()
    commas = np.flatnonzero(text == ord(","))
    text[commas] = ord(" ")
    text[commas[wide - 1 :: wide]] = ord("\n")
    text[-1] = ord("\n")
    return text.tobytes(), rows


def write_new(path: str, parts: Iterable[tuple[bytes | memoryview, int]]) -> int:
    """Write a new file; the sum of the numbers. A file that is not whole is removed."""
    if os.path.lexists(path):
        raise Conflict(f"{path} exists already: choose another path, or remove it")
    count = 0
    with open(path, "xb") as file:
        try:
            for data, number in parts:
                file.write(data)
                count += number
        except BaseException:
            os.unlink(path)
            raise
    return count


def set_next_label(
    context: typer.Context,
    label: Annotated[int, typer.Argument(metavar="LABEL", help="The label before the next new one.")],
    ceiling: Annotated[
        int | None, typer.Argument(metavar="[CEILING]", help="The last label that may be given out; 0 for none.")
    ] = None,
    server: Server = None,
    data: Data = None,
) -> None:
    """Let new labels of NAME count up from behind LABEL, at all versions, whatever labels there are.

    Whoever does this sees to it that none of them exists. A server asks for the rights of an admin (DVID_ADMIN_TOKEN).
    """
    from dvid.cli.output import say

    name = context.meta[INSTANCE]
    with open_target(server, data) as target:
        target.labels(target.node(context.obj), name).set_next_label(label, ceiling)
    say(f"the next new label of {name!r} is {label + 1}")


def repair_max_label(
    context: typer.Context,
    commit: Annotated[bool, typer.Option("--commit", help="Note the labels that were found.")] = False,
    data: Data = None,
) -> None:
    """Compare the largest labels that are noted for NAME, at each version and in all, with those that there are.

    Needs --data. Without --commit nothing is written. Labels that were given out and not used yet are not found:
    see to it that nobody edits meanwhile.
    """
    from dvid.cli.local import StoreTarget
    from dvid.cli.output import say

    name = context.meta[INSTANCE]
    with open_target(None, data, read_only=not commit) as target:
        if not isinstance(target, StoreTarget):
            raise typer.BadParameter("repair-maxlabel reads the store itself: name its folder with --data DIR")
        wrong = 0
        for uuid, noted, found in target.largest_labels(target.node(context.obj), name, commit=commit):
            differs = noted != found
            wrong += differs
            print(f"{uuid}  noted {_or_none(noted)}  found {_or_none(found)}{'  differs' if differs else ''}")
    if not wrong:
        say("all are right")
    else:
        say(f"{wrong} are corrected" if commit else f"{wrong} differ: --commit notes what was found")


def _or_none(label: int | None) -> str:
    return "none" if label is None else str(label)


def export_shards(
    context: typer.Context,
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="A JSON file: the info of a sharded precomputed volume.")],
    folder: Annotated[str, typer.Argument(metavar="DIR", help="An empty or missing folder for the files.")],
    scales: Annotated[int, typer.Argument(min=1, max=20, metavar="[SCALES]", help="How many resolutions.")] = 1,
    data: Data = None,
) -> None:
    """Write the blocks of the labels NAME to Arrow files, one for each shard of a Neuroglancer precomputed volume.

    Needs --data. A resolution has a folder s0, s1, ..., a shard two files in it, named after its first voxel: X_Y_Z.arrow, an
    Arrow IPC stream with a row for each block, and X_Y_Z.csv, which tells where in the stream a block is. SPEC may have a
    "batch_size": the blocks of a record batch. Blocks outside the size that it gives are left out.
    """
    from dvid.cli.boxes import boxes_of
    from dvid.cli.local_labels import StoreLabels
    from dvid.cli.output import progress_bar, say
    from dvid.interop.shards import need_arrow, read_spec, write_shard

    need_arrow()
    if os.path.lexists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
        raise Conflict(f"{folder} exists already: choose an empty folder")
    with open_target(None, data, read_only=True) as target:
        if data is None:
            raise typer.BadParameter("export-shards reads the store itself: name its folder with --data DIR")
        labels = target.labels(target.node(context.obj), context.meta[INSTANCE])
        assert isinstance(labels, StoreLabels)
        block = labels.info.block_zyx
        described = read_spec(spec, block)
        blocks = files = 0
        for scale in range(min(scales, len(described.scales), labels.info.scales + 1)):
            there, extents = described.scales[scale], labels.info.at_scale(scale).extents
            grid = Box((0, 0, 0), there.grid_zyx)
            held = Box((0, 0, 0), (0, 0, 0))
            if extents is not None:
                around = extents.blocks(block)
                held = Box(around.start_zyx, around.stop_zyx) & grid
            shards = list(boxes_of(held, there.shard_zyx, there.shard_zyx)) if held else []
            with progress_bar(f"scale {scale}", len(shards), unit="shards") as advance:
                for shard in shards:
                    first = (a // n * n * e for a, n, e in zip(shard.start_zyx, there.shard_zyx, block, strict=True))
                    name = "_".join(map(str, reversed(list(first))))
                    found = labels.blocks(scale, list(shard.blocks((1, 1, 1))))
                    count = write_shard(os.path.join(folder, f"s{scale}", name), found, described.batch)
                    blocks, files = blocks + count, files + (count > 0)
                    advance(1)
    say(f"wrote {blocks} blocks in {files} shards to {folder}")

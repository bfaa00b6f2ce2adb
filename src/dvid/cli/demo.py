"""`dvid demo`: a server with a volume in two versions, to look at and to try things with."""

from __future__ import annotations

import ctypes
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from dvid.cli.complaints import BAD_USE

if TYPE_CHECKING:
    from dvid.cli.target import OpenLabels, OpenVolume, Target

NAME = "grayscale"
LABELS = "segmentation"
READY = "demo: a ball is inverted"
"""How the note of the second version begins: it is written when all else is done, so a demo that was interrupted is made
anew."""
AND_MERGED = ", two bodies are merged"

NEAR = 12
"""Bodies so many voxels apart are neighbours: between them may be a membrane."""

START_SECONDS = 60.0
STOP_SECONDS = 10.0

_DEATH_OF_PARENT = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


def demo(
    folder: Annotated[
        str, typer.Option(metavar="DIR", help="Where the demo keeps its store; a later run goes on with it.")
    ] = "demo-data",
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="PATH", help="A volume of yours: HDF5, TIFF or PNG stack, .npy, Zarr."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which dataset of a file that holds several.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", metavar="PATH", help="A segmentation of it: a volume of supervoxels.")
    ] = None,
    labels_dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which dataset has the segmentation.")
    ] = None,
    mapping: Annotated[
        str | None, typer.Option(metavar="FILE", help="Which body each supervoxel belongs to: CSV, .npy or HDF5.")
    ] = None,
    mapping_dataset: Annotated[str | None, typer.Option(metavar="NAME", help="Which dataset has the mapping.")] = None,
    size: Annotated[int, typer.Option(min=32, max=4096, metavar="N", help="Edge of the made-up volume.")] = 256,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Where to listen; 0 takes a free one.")
    ] = 8000,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Stop the server again and end.")] = False,
) -> None:
    """Serve a volume and its segmentation in two versions and say where to look at them; until Ctrl-C.

    Without --source these are a made-up piece of brain and its neurites, as 'dvid sample' writes them.
    What you change stays: another run serves the same store again, and loads only what it does not hold yet.
    """
    from dvid.cli.output import say
    from dvid.cli.remote import ServerTarget

    if source is None and (labels is not None or mapping is not None):
        raise typer.BadParameter("--labels and --mapping go with --source: the made-up volume has its own")
    if labels is None and mapping is not None:
        raise typer.BadParameter("--mapping goes with --labels")
    os.makedirs(folder, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGHUP):  # the latter when the terminal is closed
        signal.signal(number, _stop)
    try:
        with _server(os.path.join(folder, "store"), os.path.join(folder, "server.log"), port) as url:
            target = ServerTarget(url)
            parts = (
                _Parts(source, dataset, labels, labels_dataset, mapping, mapping_dataset)
                if source is not None
                else _sample(folder, size)
            )
            first, second = _two_versions(target, parts)
            store = os.path.join(folder, "store")
            print(_what_to_see(url, target, first, second, store, parts.labels is not None), flush=True)
            if not no_wait:
                say("The server runs until you press Ctrl-C.")
                while True:
                    time.sleep(3600)
    except KeyboardInterrupt:
        given = {
            "--source": source,
            "--dataset": dataset,
            "--labels": labels,
            "--labels-dataset": labels_dataset,
            "--mapping": mapping,
            "--mapping-dataset": mapping_dataset,
        }
        words = [word for option, value in given.items() if value is not None for word in (option, value)]
        say(
            f"stopped. '{shlex.join(['dvid', 'demo', *words])}' serves it again from {folder}; to begin anew, remove that folder first"
        )


@contextmanager
def _server(store: str, log: str, port: int) -> Iterator[str]:
    """A server of its own; its URL. It is stopped at the end."""
    from dvid.cli.output import say

    command = [sys.executable, "-m", "dvid", "serve", "--data", store, "--http", f"127.0.0.1:{port}"]
    with open(log, "ab") as errors:
        before = errors.tell()
        # In a session of its own, Ctrl-C reaches the demo alone, which then ends the server in order.
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, start_new_session=True, preexec_fn=_end_with_parent
        )
    try:
        yield _announced(process, log, before)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            say("the server did not stop in time and was killed")
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _end_with_parent() -> None:
    """Have this process, the server, end when the demo does, even by kill -9."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_OF_PARENT, signal.SIGTERM)


def _stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _announced(process: subprocess.Popen[bytes], log: str, before: int) -> str:
    """The URL that a server prints once it answers."""
    assert process.stdout is not None
    deadline, seen = time.monotonic() + START_SECONDS, b""
    while time.monotonic() < deadline:
        if select.select([process.stdout], [], [], 0.2)[0]:
            seen += os.read(process.stdout.fileno(), 1 << 16)
        found = re.search(rb"(http://[^\s/]+)/?\s", seen)
        if found:
            return found[1].decode()
        if process.poll() is not None:
            with open(log, "rb") as errors:
                errors.seek(before)
                said = " ".join(errors.read(2000).decode("utf-8", "replace").split())
            raise _failed(
                f"{said or f'the server ended with exit code {process.returncode}'}. Is another --port (PORT=8001) free?"
            )
    raise _failed(f"the server did not answer within {START_SECONDS:.0f} s; {log} may say why")


def _failed(message: str) -> typer.Exit:
    """Say what is wrong; what to raise then."""
    print(f"dvid: {message}", file=sys.stderr)
    return typer.Exit(BAD_USE)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The files that a demo is made of."""

    image: str
    image_dataset: str | None = None
    labels: str | None = None
    labels_dataset: str | None = None
    mapping: str | None = None
    mapping_dataset: str | None = None


def _sample(folder: str, size: int) -> _Parts:
    """The made-up volume with its segmentation; drawn once."""
    from dvid.cli.sample import sample

    image, labels, mapping = (
        os.path.join(folder, name) for name in (f"sample-{size}.npy", f"neurites-{size}.npy", f"neurites-{size}.csv")
    )
    all_there = all(os.path.exists(path) for path in (image, labels, mapping))
    if not all_there or any(os.path.exists(f"{path}.progress") for path in (image, labels)):
        for left_over in (image, f"{image}.progress", labels, f"{labels}.progress", mapping):
            if os.path.exists(left_over):
                os.unlink(left_over)
        sample(image, size=str(size), segmentation=labels, mapping=mapping)
    return _Parts(image, None, labels, None, mapping)


def _two_versions(target: Target, parts: _Parts) -> tuple[str, str]:
    """The UUIDs of the volume as it is in the files, and of the version with the changes; made where they are not there."""
    from contextlib import nullcontext

    from dvid.cli.importing import agglomerate, new_volume
    from dvid.cli.output import say
    from dvid.interop import open_source
    from dvid.interop.mappings import read_mapping

    segmented = nullcontext() if parts.labels is None else open_source(parts.labels, parts.labels_dataset)
    with open_source(parts.image, parts.image_dataset) as image, segmented as labels:
        description = f"{image.name}, {image.fingerprint()[:16]}"
        if labels is not None:
            description += f"; {labels.name}, {labels.fingerprint()[:16]}"
        for root, repo in target.repos().items():
            if repo and repo["Description"] == description:
                ready = [uuid for uuid, node in repo["DAG"]["Nodes"].items() if node["Note"].startswith(READY)]
                if ready:
                    say(f"the store holds {parts.image} already")
                    return root, ready[0]
                target.delete_repo(root, "")
        first = target.make_repo("demo", description, "")
        new_volume(target, first, NAME, image)
        if labels is not None:
            if labels.voxel_size_zyx is None:
                labels.voxel_size_zyx, labels.units = image.voxel_size_zyx, image.units
            new_volume(target, first, LABELS, labels, "labelmap")
    if parts.mapping is not None:
        agglomerate(target.labels(first, LABELS), *read_mapping(parts.mapping, parts.mapping_dataset))
    target.commit(first, "the volume as it is in the file")
    second = target.new_version(first, "")
    _invert_ball(target.volume(second, NAME))
    merged = parts.labels is not None and _merge_neighbours(target.labels(second, LABELS))
    target.commit(second, READY + (AND_MERGED if merged else ""))
    target.new_version(second, "yours to change")
    return first, second


def _merge_neighbours(labels: OpenLabels) -> bool:
    """Merge two large bodies that lie side by side in the middle slice; False where there are none."""
    import numpy as np

    from dvid.geometry import Box

    extents = labels.info.extents
    if extents is None:
        raise AssertionError("the demo's segmentation is empty")
    depth, height, width = extents.shape_zyx
    z, y, x = extents.start_zyx
    shown = labels.read(Box.at((z + depth // 2, y, x), (1, min(height, 1024), min(width, 1024))))[0]
    bodies, places, areas = np.unique(shown, return_inverse=True, return_counts=True)
    places = places.reshape(shown.shape)
    pairs = np.stack((places[:, :-NEAR].ravel(), places[:, NEAR:].ravel()), 1)
    pairs = np.unique(pairs[(pairs[:, 0] != pairs[:, 1]) & (bodies[pairs] != 0).all(1)], axis=0)
    if not len(pairs):
        return False
    one, other = pairs[areas[pairs].min(1).argmax()]
    labels.merge(int(bodies[one]), [int(bodies[other])])
    return True


def _invert_ball(volume: OpenVolume) -> None:
    """Invert the values in a ball in the middle of a volume: a box that fits no blocks, read, changed and written."""
    import numpy as np

    from dvid.geometry import Box

    extents = volume.info.extents
    if extents is None:
        raise AssertionError("the demo's volume is empty")
    low = tuple(a + n // 3 for a, n in zip(extents.start_zyx, extents.shape_zyx, strict=True))
    size = tuple(max(1, n // 3) for n in extents.shape_zyx)
    box = Box.at((low[0], low[1], low[2]), (min(size[0], 256), min(size[1], 256), min(size[2], 256)))
    voxels = volume.read(box)
    axes = np.ogrid[tuple(slice(-1, 1, complex(0, n)) if n > 1 else slice(0, 1) for n in box.shape_zyx)]
    ball = sum(axis * axis for axis in axes) <= 1
    # The darkest becomes the brightest there is: visible whatever range the values have.
    voxels[ball] = voxels.min() + (voxels.max() - voxels[ball])
    volume.write(box, voxels)


def _what_to_see(url: str, target: Target, first: str, second: str, store: str, labels: bool) -> str:
    volume = target.volume(second, NAME)
    extents = volume.info.extents
    if extents is None:
        raise AssertionError("the demo's volume is empty")
    depth, height, width = extents.shape_zyx
    z, y, x = extents.start_zyx[0] + depth // 2, *extents.start_zyx[1:]
    width, height = min(width, 1024), min(height, 1024)
    form = "jpg" if volume.info.dtype.itemsize == 1 else "png"
    picture = f"{NAME}/raw/xy/{width}_{height}/{x}_{y}_{z}/{form}"
    pictures = f"""
A slice of the first version, and of the second:
  {url}/api/node/{first}/{picture}
  {url}/api/node/{second}/{picture}
"""
    if labels:
        coloured = f"{LABELS}/pseudocolor/xy/{width}_{height}/{x}_{y}_{z}/png"
        pictures += f"""
Their bodies, each in a colour:
  {url}/api/node/{first}/{coloured}
  {url}/api/node/{second}/{coloured}
"""
    over = f"&labels={LABELS}" if labels else ""
    body = f'\n  node["{LABELS}"].body_at({z}, {y + height // 2}, {x + width // 2})' if labels else ""
    return f"""
Both versions side by side:
  {url}/?repo={first}&name={NAME}{over}&nodes={first},{second}
{pictures}
In Python ({os.path.relpath(sys.executable)}), over HTTP:
  from dvidclient.volume_client import VolumeClient
  volume = VolumeClient("{url}", "{second}", "{NAME}")
  volume.retrieve_subvolume((0, {x}, {y}, {z}), ({volume.info.channels}, {x + min(width, 64)}, {y + min(height, 64)}, {z + 1}))

or straight from the store, while the server runs:
  import dvid
  node = dvid.open({store!r})["{first[:8]}"]["{second[:8]}"]
  node["{NAME}"][{z}, {y}:{y + min(height, 64)}, {x}:{x + min(width, 64)}]{body}
"""

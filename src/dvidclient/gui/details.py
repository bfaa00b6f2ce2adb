"""What is known of the selected version, data instance and repo, as text to read and to copy."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from dvidclient.gui.catalogue import (
    InstanceEntry,
    NodeEntry,
    RepoEntry,
    extents_text,
    pixel_type_text,
    times,
    voxel_size_text,
    when,
)

Row = tuple[str, str]


def details_html(
    repo: RepoEntry | None, node: NodeEntry | None, instance: InstanceEntry | None, log: Sequence[str] | str
) -> str:
    """A page on what is selected.

    Args:
        repo: None while none is selected.
        node: None while none is selected.
        instance: None while none is selected.
        log: lines of the log of the version; or, as a string, why there are none.
    """
    sections = []
    if repo is not None and node is not None:
        sections.append(_section(f"Version {node.uuid[:8]}", _node_rows(repo, node, log)))
    if instance is not None:
        sections.append(_section(f"{instance.typename} {instance.name}", _instance_rows(instance)))
    if repo is not None:
        sections.append(_section(f"Repository {repo.title}", _repo_rows(repo)))
    return "".join(sections)


def _node_rows(repo: RepoEntry, node: NodeEntry, log: Sequence[str] | str) -> Iterable[Row]:
    yield "state", _text(node.why_closed or "open: data can be written and new volumes made here")
    yield "branch", _text(node.branch)
    yield "note", _text(node.note) or "–"
    yield "created", _time(node.created)
    yield "updated", _time(node.updated)
    yield "parents", _links(repo, node.parents)
    yield "children", _links(repo, node.children)
    yield "log", f"<i>{_text(log)}</i>" if isinstance(log, str) else "<br>".join(map(_text, log)) or "–"
    yield "UUID", _text(node.uuid)


def _instance_rows(instance: InstanceEntry) -> Iterable[Row]:
    if volume := instance.volume:
        if volume.size_xyz:
            yield "shape", f"{times(volume.size_xyz)} (x, y, z)"
            yield "extents", extents_text(volume)
        else:
            yield "shape", "nothing written, or not told"
        yield "pixel type", _text(pixel_type_text(volume))
        yield "axes", f"{volume.axes} in memory, slowest first"
        if text := voxel_size_text(volume):
            yield "voxel size", f"{_text(text)} (x, y, z)"
        if volume.block_xyz:
            yield "blocks", f"{times(volume.block_xyz)} (x, y, z)"
        if volume.scales:
            yield "resolutions", f"{volume.scales + 1}, each half as fine as the one before"
    if instance.data_uuid:
        yield "data UUID", _text(instance.data_uuid)


def _repo_rows(repo: RepoEntry) -> Iterable[Row]:
    yield "description", _text(repo.description) or "–"
    if repo.fault:
        yield "error", _text(f"the server describes it wrongly: {repo.fault}")
        yield "listed as", _text(repo.uuid)
        return
    yield "versions", f"{len(repo.nodes)}, {sum(not node.locked for node in repo.nodes)} of them open"
    yield "instances", str(len(repo.instances))
    yield "created", _time(repo.created)
    yield "updated", _time(repo.updated)
    yield "root", _text(repo.uuid)


def _section(title: str, rows: Iterable[Row]) -> str:
    lines = "".join(f"<tr><td style='padding-right: 10px'>{name}</td><td>{value}</td></tr>" for name, value in rows)
    return f"<p style='margin: 8px 0 2px 0'><b>{_text(title)}</b></p><table cellspacing='0' cellpadding='1'>{lines}</table>"


def _links(repo: RepoEntry, uuids: Sequence[str]) -> str:
    notes = {node.uuid: node.note or node.branch for node in repo.nodes}
    links = [f"<a href='{_text(uuid)}'>{_text(uuid[:8])}</a> {_text(_short(notes.get(uuid, '')))}" for uuid in uuids]
    return "<br>".join(links) or "–"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _time(time: str) -> str:
    return f"{_text(when(time))} UTC" if time else "–"


def _text(text: str) -> str:
    # Breaks in long UUIDs and names would be anywhere; line ends of notes are kept.
    return html.escape(text).replace("\n", "<br>")

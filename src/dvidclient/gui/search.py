"""Looking for words in what a server holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dvidclient.gui.catalogue import RepoEntry


@dataclass(frozen=True, slots=True)
class Found:
    """What of a repo has the words."""

    itself: bool
    """Its name, description or root."""
    node_uuids: frozenset[str]
    instance_names: frozenset[str]


def search(repos: Sequence[RepoEntry], text: str) -> dict[str, Found]:
    """The repos that have something with all words of a text in it, by the UUID of their root.

    Args:
        repos: to look in.
        text: words, in any order and case. UUIDs are found by any part, versions also by branch and note, instances by type.
    """
    words = text.casefold().split()
    found = {}
    for repo in repos:
        nodes = frozenset(node.uuid for node in repo.nodes if _has(words, node.uuid, node.branch, node.note))
        instances = frozenset(
            instance.name
            for instance in repo.instances
            if _has(words, instance.name, instance.typename, instance.data_uuid)
        )
        itself = _has(words, repo.alias, repo.description, repo.uuid)
        if itself or nodes or instances:
            found[repo.uuid] = Found(itself, nodes, instances)
    return found


def _has(words: Sequence[str], *texts: str) -> bool:
    everything = "\n".join(texts).casefold()
    return all(word in everything for word in words)

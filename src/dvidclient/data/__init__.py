"""Data instances by their type: each class has the calls of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dvidclient.data.annotation import Annotations
from dvidclient.data.instance import Instance
from dvidclient.data.keyvalue import KeyValues
from dvidclient.data.labelmap import LabelMap
from dvidclient.data.labels import LabelArray, Labels, LabelVol
from dvidclient.data.neuronjson import NeuronJson
from dvidclient.data.roi import Roi
from dvidclient.data.volume import Volume

if TYPE_CHECKING:
    from dvidclient.node import Node

_CLASSES: dict[str, type[Instance]] = {
    **dict.fromkeys(["uint8blk", "uint16blk", "uint32blk", "uint64blk", "float32blk", "rgba8blk"], Volume),
    "annotation": Annotations,
    "keyvalue": KeyValues,
    "labelarray": LabelArray,
    "labelblk": Labels,
    "labelmap": LabelMap,
    "labelvol": LabelVol,
    "neuronjson": NeuronJson,
    "roi": Roi,
}


def instance_at(node: Node, document: Mapping[str, Any]) -> Instance:
    """The instance that a server describes, at a node: of the class for its type."""
    return _CLASSES.get(document["Base"]["TypeName"], Instance)(node, document)

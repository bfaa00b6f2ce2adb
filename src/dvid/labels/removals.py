"""What sparse volumes leave out of labels, though blocks hold it: the blocks of a label that `DELETE .../area` of a labelvol names.

Blocks, index and sizes stay as they are and fit each other; only who asks where the label is does not get to hear of
these blocks, until `restore`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dvid.labels.tables import REMOVED, Labels, label_key, label_range
from dvid.versions import layout
from dvid.versions.edit import Edit
from dvid.versions.view import View

_REMOVALS: Final = "removals"  # a number of the instance: 0 as long as REMOVED is empty at all versions

Points = NDArray[np.int64]
"""(n, 3) int64, zyx."""


def remove(edit: Edit, label: int, blocks_zyx: Points) -> None:
    """Leave blocks out of the sparse volume of a label."""
    for z, y, x in blocks_zyx.tolist():
        edit.put(REMOVED, label_key(label) + layout.block_key((z, y, x)), b"")
    if len(blocks_zyx):
        edit.set_number(_REMOVALS, edit.number(_REMOVALS) + 1)


def restore(edit: Edit, labels: Labels, blocks_zyx: Iterable[tuple[int, int, int]] | None = None) -> int:
    """Leave blocks out no longer: those named, or all. How many there were."""
    if not edit.number(_REMOVALS):
        return 0
    named = None if blocks_zyx is None else {layout.block_key(block) for block in blocks_zyx}
    restored = 0
    for label in labels.tolist():
        for row in list(edit.keys(REMOVED, *label_range(label))):
            if named is None or row[8:] in named:
                edit.delete(REMOVED, row)
                restored += 1
    return restored


def remaining(view: View, label: int, blocks_zyx: Points) -> Points:
    """Those of a label's blocks that its sparse volume does not leave out."""
    if not view.number(_REMOVALS):
        return blocks_zyx
    out = {layout.block_of(row[8:]) for row in view.keys(REMOVED, *label_range(label))}
    if not out:
        return blocks_zyx
    kept = [at for at, (z, y, x) in enumerate(blocks_zyx.tolist()) if (z, y, x) not in out]
    return blocks_zyx.take(kept, 0)

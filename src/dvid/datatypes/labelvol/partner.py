"""The labelblk that a labelvol is synced with.

A labelvol holds nothing but its settings: it is another door to its labelblk, which keeps blocks, index and sizes of
its labels. A request to the labelvol is turned to the labelblk, and is one transaction there like any other. So the two
cannot drift apart, it makes no difference when or from which side they were synced, whether anything was written before,
or in which stores they are; and a second labelvol costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from dvid.errors import BadRequest
from dvid.routes import Call, Reply
from dvid.versions.records import InstanceRecord
from dvid.versions.view import View


def partner_names(view: View) -> list[str]:
    """The labelblk instances that a labelvol is synced with, or that are synced with it."""
    own = [name for name in view.instance.syncs if view.sibling(name).instance.typename == "labelblk"]
    return own or [
        other.name for other in view.siblings() if other.typename == "labelblk" and view.instance.name in other.syncs
    ]


def partner(view: View) -> str:
    """The name of the labelblk that answers for a labelvol.

    Raises:
        BadRequest: there is none, there are several, or it has other blocks.
    """
    names = partner_names(view)
    if not names:
        raise BadRequest(
            f"{view.instance.name!r} is not synced with a labelblk, which would know about labels: "
            'POST .../sync with {"sync": "name of the labelblk"}'
        )
    if len(names) > 1:
        raise BadRequest(f"{view.instance.name!r} is synced with several labelblk instances: {', '.join(names)}")
    check_same_blocks(view, view.sibling(names[0]).instance)
    return names[0]


def check_same_blocks(view: View, other: InstanceRecord) -> None:
    """Refuse a labelblk whose blocks are not as large as those of the labelvol.

    Raises:
        BadRequest: they are not.
    """
    own = view.instance.settings["BlockSize"]
    if other.settings["BlockSize"] != own:
        raise BadRequest(
            f"{view.instance.name!r} has blocks of {own}, and the labelblk {other.name!r} of {other.settings['BlockSize']} "
            "(x, y, z): they must be the same"
        )


def turned(handler: Callable[..., Reply]) -> Callable[..., Reply]:
    """A handler for labelvols, made of one for their labelblk."""

    @wraps(handler)
    def answer(call: Call, **arguments: object) -> Reply:
        with call.view() as view:
            name = partner(view)
        call.turn_to(name)
        return handler(call, **arguments)

    return answer

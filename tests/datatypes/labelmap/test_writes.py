"""Drafts of blocks: what one request may hold of them."""

import pytest

from dvid.codecs.labelblocks import deflate, solid
from dvid.datatypes.labelmap.writes import Draft
from dvid.errors import TooLarge


def test_many_tiny_blocks_are_refused_before_they_take_the_memory_of_the_server(make_instance, database):
    instance = make_instance("labelmap", BlockSize="32,32,32")
    data = deflate(solid(7, (32, 32, 32)))
    with database.view(instance.node, instance.name) as view:
        draft = Draft(view)
        for x in range(250):
            draft.add_compressed((0, 0, x), data, 1 << 20)

        def go_on() -> None:
            for x in range(250, 300):
                draft.add_compressed((0, 0, x), data, 1 << 20)

        with pytest.raises(TooLarge, match="send fewer at a time"):
            go_on()

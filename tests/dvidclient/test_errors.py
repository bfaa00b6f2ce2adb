import pickle

import pytest

from dvidclient.errors import BadArgument, MetadataError, NoAnswer, ServerRefused


@pytest.mark.parametrize(
    "error",
    [
        BadArgument("a: expected b"),
        MetadataError("Axes[1].Size", "a size", -1),
        ServerRefused("GET", "http://localhost/api", 404, "not here", "asking"),
        NoAnswer("GET", "http://localhost/api", None, "gone", "asking"),
    ],
)
def test_errors_come_whole_out_of_other_processes(error):
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))

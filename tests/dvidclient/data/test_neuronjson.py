"""Promise: a neuronjson instance is a mapping of bodies to dicts."""

import pytest

from dvidclient.data.neuronjson import NeuronJson
from dvidclient.errors import BadArgument, ServerRefused

DOCUMENT = {"Base": {"Name": "never-made", "TypeName": "neuronjson"}}


@pytest.fixture
def neurons(made):
    instance = made("neuronjson")
    try:
        instance[12] = {"type": "KC", "points": [1, 2]}
    except ServerRefused as refused:
        if refused.status != 501:
            raise
        pytest.skip("this server does not serve neuronjson yet")
    instance.update({9: {"type": "KX", "side": "L"}, 2**40: {"type": "KC", "side": "R"}})
    return instance


def test_an_instance_has_the_class_of_its_type_whether_or_not_it_is_served(made):
    assert isinstance(made("neuronjson"), NeuronJson)


def test_documents_come_back(neurons):
    assert neurons[12] == {"bodyid": 12, "type": "KC", "points": [1, 2]}
    assert list(neurons) == [9, 12, 2**40]
    assert len(neurons) == 3
    assert 12 in neurons
    assert 13 not in neurons
    assert "12" not in neurons
    with pytest.raises(KeyError):
        neurons[13]
    assert neurons.get(13) is None


def test_fields_are_replaced_or_set(neurons):
    neurons[12] = {"type": "KD"}
    assert neurons[12] == {"bodyid": 12, "type": "KD"}
    neurons.set_fields(12, side="L")
    assert neurons[12] == {"bodyid": 12, "type": "KD", "side": "L"}


def test_a_body_is_removed(neurons):
    del neurons[12]
    assert 12 not in neurons
    with pytest.raises(KeyError):
        del neurons[12]


def test_many_are_read_at_a_time(neurons):
    assert [one["bodyid"] for one in neurons.all()] == [9, 12, 2**40]
    assert neurons.all(fields=["side"])[0] == {"bodyid": 9, "side": "L"}
    assert neurons.all(show="user")[0]["type_user"] == "tester"
    assert neurons.get_many([2**40, 13, 9]) == {
        2**40: {"bodyid": 2**40, "type": "KC", "side": "R"},
        9: {"bodyid": 9, "type": "KX", "side": "L"},
    }


def test_conditions_find_documents(neurons):
    assert [one["bodyid"] for one in neurons.query({"type": "KC"})] == [12, 2**40]
    assert [one["bodyid"] for one in neurons.query({"type": "KC", "side": "R"})] == [2**40]
    assert [one["bodyid"] for one in neurons.query({"side": "L"}, {"side": "R"})] == [9, 2**40]
    assert neurons.query({"type": "nothing"}) == []


def test_a_table_has_a_row_for_each(neurons):
    pytest.importorskip("pandas")
    table = neurons.to_pandas(fields=["type"])
    assert table["type"].to_dict() == {9: "KX", 12: "KC", 2**40: "KC"}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda neurons: neurons["12"], "body: expected integers, got '12'"),
        (lambda neurons: neurons[0], "body: expected a label from 1"),
        (lambda neurons: neurons.__setitem__(5, [1]), "fields of body 5: expected a dict"),
        (lambda neurons: neurons.__setitem__(5, {"bodyid": 6}), "fields of body 5: expected a dict of that body"),
        (lambda neurons: neurons.update(a=5), "bodies are numbers, got 'a'"),
        (lambda neurons: neurons.all(show="me"), "show: expected"),
    ],
)
def test_arguments_are_checked_before_anything_is_asked(version, call, said):
    with pytest.raises(BadArgument, match=said):
        call(NeuronJson(version, DOCUMENT))

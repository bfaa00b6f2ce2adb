"""Promise: annotations are plain dicts, or rows of a table, with named coordinates."""

import io
import json
import sys

import numpy
import pytest
import urllib3

from dvidclient.data import annotation
from dvidclient.data.annotation import COLUMNS, Annotations, Elements
from dvidclient.errors import BadArgument, ServerRefused

ELEMENTS = [
    {
        "x": 33,
        "y": 30,
        "z": 31,
        "kind": "PostSyn",
        "tags": ["first"],
        "relationships": [{"rel": "PostSynTo", "x": 15, "y": 27, "z": 35}],
        "props": {"name": "a", "confidence": "0.9"},
    },
    {
        "x": 15,
        "y": 27,
        "z": 35,
        "kind": "PreSyn",
        "tags": ["first", "second"],
        "relationships": [{"rel": "PreSynTo", "x": 33, "y": 30, "z": 31}],
        "props": {},
    },
    {"x": 200, "y": 1, "z": 2, "kind": "Note", "tags": [], "relationships": [], "props": {"text": "ä"}},
]
DOCUMENT = {"Base": {"Name": "never-made", "TypeName": "annotation"}}


def by_place(elements):
    return sorted(elements, key=lambda element: (element["z"], element["y"], element["x"]))


@pytest.fixture
def notes(made):
    instance = made("annotation")
    try:
        instance.post(ELEMENTS)
    except ServerRefused as refused:
        if refused.status != 501:
            raise
        pytest.skip("this server does not serve annotations yet")
    return instance


def test_an_instance_has_the_class_of_its_type_whether_or_not_it_is_served(made):
    assert isinstance(made("annotation"), Annotations)


def test_all_come_back_as_plain_dicts(notes):
    found = notes.all()
    assert by_place(found) == by_place(ELEMENTS)
    assert all(tuple(element) == COLUMNS for element in found)


def test_those_in_a_box_are_found(notes):
    assert by_place(notes.within(numpy.s_[30:36, 20:31, 10:40])) == by_place(ELEMENTS[:2])
    assert notes.within(numpy.s_[31:32, 30:31, 33:34]) == [ELEMENTS[0]]
    assert notes.within(numpy.s_[0:30, 0:30, 0:30]) == []


def test_those_with_a_tag_are_found(notes, reads):
    reads(lambda: by_place(notes.of_tag("first")), by_place(ELEMENTS[:2]))
    reads(lambda: notes.of_tag("second"), [ELEMENTS[1]])
    reads(lambda: notes.of_tag("second", relationships=False), [{**ELEMENTS[1], "relationships": []}])
    assert notes.of_tag("nobody") == []


def test_those_on_a_label_are_found(made, notes, write_labels, reads):
    labels = made("labelmap", BlockSize=(64, 64, 64))
    array = numpy.zeros((64, 64, 64), numpy.uint64)
    array[31, 30, 33] = 7
    write_labels(labels, array)
    synced = made("annotation")
    synced.sync(labels.name)
    synced.post(ELEMENTS[:2])
    reads(lambda: synced.of_label(7), [ELEMENTS[0]])
    assert synced.of_label(8) == []


def test_one_is_removed_and_one_is_moved(notes, reads):
    notes.remove((2, 1, 200))
    reads(lambda: by_place(notes.all()), by_place(ELEMENTS[:2]))
    notes.move((31, 30, 33), (31, 30, 40))
    reads(lambda: by_place(notes.all())[0]["x"], 40)
    assert by_place(notes.all())[1]["relationships"] == [{"rel": "PreSynTo", "x": 40, "y": 30, "z": 31}]


def test_a_table_comes_back(notes):
    pandas = pytest.importorskip("pandas")
    table = notes.all().to_pandas()
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 3
    table["x"] += 1000
    notes.post(table)
    assert len(notes.all()) == 6
    assert 1033 in notes.all().to_pandas()["x"].to_list()
    some_have_props = [
        {"x": 1, "y": 2, "z": 3, "kind": "Note", "props": {"a": "b"}},
        {"x": 9, "y": 9, "z": 9, "kind": "Note"},
    ]
    notes.post(pandas.DataFrame(some_have_props))  # where there are none, pandas has NaN
    written = {element["x"]: element["props"] for element in notes.all()}
    assert (written[1], written[9]) == ({"a": "b"}, {})


def test_the_server_finds_tags_anew(notes, reads):
    notes.reload()
    reads(lambda: notes.of_tag("second"), [ELEMENTS[1]])


def answer(document):
    """An answer with this document, as the connection gives it out."""
    return urllib3.HTTPResponse(io.BytesIO(json.dumps(document).encode()), preload_content=False)


def test_annotations_as_servers_send_them_are_read():
    sent = [{"Pos": [1, 2, 3], "Kind": "Note", "Tags": None, "Prop": None, "Rels": None}, {"Pos": [-4, 5, 6]}]
    found = annotation._elements(answer(sent))
    empty = {"tags": [], "relationships": [], "props": {}}
    assert found == [{"x": 1, "y": 2, "z": 3, "kind": "Note", **empty}, {"x": -4, "y": 5, "z": 6, "kind": "", **empty}]
    assert found.points_zyx.tolist() == [[3, 2, 1], [6, 5, -4]]
    blocks = {"0,0,0": sent[:1], "1,0,0": None}
    assert len(annotation._elements_of_blocks(answer(blocks))) == 1


@pytest.mark.parametrize("sent", [[5], [{}], [{"Pos": [1, 2]}], [{"Pos": [1, 2, 3], "Rels": [{}]}], {"a": 1}, "text"])
def test_answers_that_are_no_annotations_are_refused(sent):
    with pytest.raises(annotation.answers.Broken, match="expected"):
        annotation._elements(answer(sent))


def test_an_empty_table_has_its_columns():
    pytest.importorskip("pandas")
    assert tuple(Elements().to_pandas().columns) == COLUMNS


def test_without_pandas_a_table_is_refused_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match=r"dvidclient\[pandas\]"):
        Elements().to_pandas()


@pytest.mark.parametrize(
    ("element", "said"),
    [
        (5, r"elements\[0\]: expected a dict, got 5"),
        ({"Pos": [1, 2, 3]}, r"elements\[0\]: expected the keys x, y, z, kind, tags, relationships, props, got 'Pos'"),
        ({"x": 1, "y": 2, "kind": "Note"}, r"elements\[0\] z, y, x: expected integers"),
        ({"x": 1, "y": 2, "z": 0.5, "kind": "Note"}, r"elements\[0\] z, y, x: expected integers"),
        ({"x": 1, "y": 2, "z": 3}, r"elements\[0\].kind: expected a string"),
        ({"x": 1, "y": 2, "z": 3, "kind": "Note", "tags": [5]}, r"elements\[0\].tags: expected a string"),
        (
            {"x": 1, "y": 2, "z": 3, "kind": "Note", "relationships": [{"rel": "PostSynTo"}]},
            r"elements\[0\].relationships z, y, x: expected integers",
        ),
        (
            {"x": 1, "y": 2, "z": 3, "kind": "Note", "relationships": ["PostSynTo"]},
            r"elements\[0\].relationships: expected dicts, got 'PostSynTo'",
        ),
        ({"x": 1, "y": 2, "z": 3, "kind": "Note", "props": "high"}, r"elements\[0\].props: expected a dict of strings"),
        (
            {"x": 1, "y": 2, "z": 3, "kind": "Note", "props": {"a": 1}},
            r"elements\[0\].props: expected strings, got 'a': 1",
        ),
    ],
)
def test_what_is_no_annotation_is_refused_before_anything_is_sent(version, element, said):
    with pytest.raises(BadArgument, match=said):
        Annotations(version, DOCUMENT).post([element])

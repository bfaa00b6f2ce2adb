"""Requests for new labels and the largest ones."""

import pytest

FAR = 2**48


def test_the_largest_label_is_told_as_clients_compare_it(segmentation):
    assert segmentation.get("maxlabel").text == '{"maxlabel": 30}'
    assert segmentation.get("nextlabel").text == '{"nextlabel": 31}'


def test_there_is_no_largest_label_until_there_is_a_label(make_segmentation):
    empty = make_segmentation()
    assert empty.status("GET", "maxlabel") == 400
    assert empty.get("nextlabel").text == '{"nextlabel": 1}'


def test_labels_are_given_out_once(segmentation):
    assert segmentation.post("nextlabel/5", None).text == '{"start": 31, "end": 35}'
    assert segmentation.post("nextlabel/1", None).text == '{"start": 36, "end": 36}'
    assert segmentation.get("maxlabel").json == {"maxlabel": 36}


def test_labels_given_out_at_one_branch_are_not_given_out_at_another(segmentation):
    segmentation.commit(segmentation.node)
    one, other = segmentation.child(segmentation.node), segmentation.child(segmentation.node, "other")
    assert segmentation.post("nextlabel/2", None, node=one).json == {"start": 31, "end": 32}
    assert segmentation.post("nextlabel/2", None, node=other).json == {"start": 33, "end": 34}
    assert segmentation.get("maxlabel", node=one).json == {"maxlabel": 32}
    assert segmentation.get("maxlabel").json == {"maxlabel": 30}


@pytest.mark.parametrize("count", ["/0", "/-1", "/x", "", "/99999999999999999999"])
def test_a_number_of_labels_that_is_none_is_refused(segmentation, count):
    assert segmentation.status("POST", f"nextlabel{count}") == 400
    assert segmentation.get("nextlabel").json == {"nextlabel": 31}


def test_the_largest_label_is_only_ever_raised_and_by_admins(segmentation):
    assert segmentation.request("POST", f"/api/node/{segmentation.node}/seg/maxlabel/500").status_code == 403
    assert segmentation.as_admin("maxlabel/500").status_code == 200
    assert segmentation.as_admin("maxlabel/5").status_code == 200
    assert segmentation.get("maxlabel").json == {"maxlabel": 500}
    assert segmentation.get("nextlabel").json == {"nextlabel": 501}


def test_garbage_is_no_largest_label(segmentation):
    assert segmentation.as_admin(f"maxlabel/{FAR}").status_code == 200
    for wrong in (f"/{FAR + 1}", "/0", "/x", "/-3", ""):
        assert segmentation.as_admin(f"maxlabel{wrong}").status_code == 400
    assert segmentation.get("maxlabel").json == {"maxlabel": FAR}


def test_new_labels_count_up_from_where_an_admin_says_and_stop_at_the_ceiling(segmentation):
    assert segmentation.request("POST", f"/api/node/{segmentation.node}/seg/set-nextlabel/500").status_code == 403
    assert segmentation.as_admin("set-nextlabel/2000?ceiling=2002").status_code == 200
    assert segmentation.post("nextlabel/2", None).json == {"start": 2001, "end": 2002}
    assert segmentation.status("POST", "nextlabel/1") == 400
    assert segmentation.as_admin("set-nextlabel/2002?ceiling=0").status_code == 200
    assert segmentation.post("nextlabel/1", None).json == {"start": 2003, "end": 2003}
    assert segmentation.as_admin("set-nextlabel/100?ceiling=").status_code == 200
    assert segmentation.post("nextlabel/1", None).json == {"start": 101, "end": 101}


def test_the_largest_label_moves_new_ones_until_an_admin_has_said_where_they_begin(segmentation):
    assert segmentation.as_admin("maxlabel/500").status_code == 200
    assert segmentation.get("nextlabel").json == {"nextlabel": 501}
    assert segmentation.as_admin("set-nextlabel/1000?ceiling=0").status_code == 200
    assert segmentation.as_admin(f"maxlabel/{FAR}").status_code == 200
    assert segmentation.get("nextlabel").json == {"nextlabel": 1001}
    assert segmentation.post("nextlabel/2", None).json == {"start": 1001, "end": 1002}
    assert segmentation.get("maxlabel").json == {"maxlabel": FAR}
    for request, told in (
        ("maxlabel", "unless POST set-nextlabel"),
        ("set-nextlabel", "no longer from the largest one"),
    ):
        about = segmentation.get("help").text.split(f"POST /{request}[/")[1].split("\n\n")[0]
        assert told in " ".join(about.split())


def test_new_labels_step_over_those_in_use_but_not_over_those_only_given_out(segmentation):
    assert segmentation.post("nextlabel/3", None).json == {"start": 31, "end": 33}
    assert segmentation.as_admin("set-nextlabel/9").status_code == 200
    assert segmentation.get("nextlabel").json == {"nextlabel": 11}
    assert segmentation.post("nextlabel/10", None).json == {"start": 31, "end": 40}


@pytest.mark.parametrize("what", ["/0", "/x", "", f"/{2**64 - 1}", "/300?ceiling=200", "/300?ceiling=x"])
def test_a_start_of_new_labels_that_is_none_is_refused(segmentation, what):
    assert segmentation.as_admin(f"set-nextlabel{what}").status_code == 400
    assert segmentation.get("nextlabel").json == {"nextlabel": 31}


def test_an_instance_without_index_says_so(make_segmentation):
    plain = make_segmentation(IndexedLabels="false")
    for method, path in (("GET", "maxlabel"), ("GET", "nextlabel"), ("POST", "nextlabel/1")):
        refused = plain.ask(method, path)
        assert refused.status_code == 400
        assert "IndexedLabels" in refused.text

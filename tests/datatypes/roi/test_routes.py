"""The requests of a region, as clients send them."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

SPANS = [[-1, 0, 0, 1], [0, 1, 2, 4], [0, 5, 3, 6], [2, 1, -1, 1]]


def test_spans_come_back_in_order(region):
    region.write(SPANS[::-1])
    assert region.spans() == SPANS


def test_spans_that_overlap_are_made_one_and_those_that_touch_are_not(region):
    region.write([[0, 0, 0, 3], [0, 0, 2, 9], [0, 0, 5, 5], [0, 0, 10, 11], [0, 1, 0, 0], [0, 1, 0, 0]])
    assert region.spans() == [[0, 0, 0, 9], [0, 0, 10, 11], [0, 1, 0, 0]]


def test_a_post_replaces_what_was_there(region):
    region.write(SPANS)
    region.write([[7, 1, 1, 1]])
    assert region.spans() == [[7, 1, 1, 1]]
    assert region.info()["Extended"] == {"BlockSize": [32, 32, 32], "MinZ": 7, "MaxZ": 7}


def test_an_empty_region_says_so(region):
    empty = {"BlockSize": [32, 32, 32], "MinZ": 2**31 - 1, "MaxZ": -(2**31)}
    assert region.spans() == []
    assert region.info()["Extended"] == empty
    region.write(SPANS)
    assert region.ask("DELETE", "roi").status_code == 200
    assert region.spans() == []
    assert region.info()["Extended"] == empty
    assert region.ask("GET", "partition").json == {
        "NumTotalBlocks": 0,
        "NumActiveBlocks": 0,
        "NumSubvolumes": 0,
        "ROI": {"MinChunk": [0, 0, 0], "MaxChunk": [0, 0, 0]},
        "Subvolumes": [],
    }


def test_the_ends_of_the_coordinates_can_be_used(region):
    low, high = -(2**31), 2**31 - 1
    spans = [[low, low, low, low], [low, high, low, high], [high, low, high, high], [high, high, high, high]]
    region.write(spans)
    assert region.spans() == spans
    inside = region.ask("POST", "ptquery", [[low, low, low], [0, 0, 0]]).json
    assert inside == [False, False]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"{}",
        b"5",
        b"[1,2,3,4]",
        b"[[1,2,3]]",
        b"[[1,2,3,4,5]]",
        b"[[1,2,3,4],]",
        b"[[1,2,3,4]",
        b"[[1,2,3,4]] x",
        b"[[1,2,3,1.5]]",
        b"[[1,2,3,1e2]]",
        b'[["1",2,3,4]]',
        b"[[1,2,3,2147483648]]",
        b"[[-2147483649,2,3,4]]",
        b"[[1,2,3,99999999999999999999999999]]",
        b"[[1,2,4,3]]",
        b"[" * 10_000,
        b"\xff\xfe[[1,2,3,4]]",
    ],
)
def test_bad_spans_are_refused_and_change_nothing(region, body):
    region.write(SPANS)
    reply = region.ask("POST", "roi", body)
    assert reply.status_code == 400
    assert "expected" in reply.text
    assert region.spans() == SPANS


def test_the_message_about_a_bad_span_names_it(region):
    text = region.ask("POST", "roi", b"[[0,0,0,1],[0,0,5,4.5]]").text
    assert "number 1" in text
    assert ".5]]" in text
    assert "[3, 2, 9, 8]" in region.ask("POST", "roi", [[0, 0, 0, 1], [3, 2, 9, 8]]).text


@pytest.mark.parametrize(
    "path",
    [
        "mask/0_1/10_10/0_0_0",
        "mask/xy/10_10/0_0_0",
        "mask/0_1_2",
        "mask/0_1_2/10_10_10",
        "mask/0_1_2/10_x_10/0_0_0",
        "mask/0_1_2/10_10/0_0_0",
        "mask/0_1_2/0_10_10/0_0_0",
        "mask/0_1_2/-1_10_10/0_0_0",
        "mask/0_1_2/10_10_10/0_0_99999999999",
        "mask/0_1_2/10_10_10/0_0_0?exact=maybe",
        "partition?batchsize=x",
        "partition?batchsize=0",
        "partition?batchsize=-1",
        "partition?batchsize=1e9",
        "partition?batchsize=99999999999999999999",
        "partition?optimized=maybe",
        "partition?size=3",
    ],
)
def test_bad_questions_are_refused(region, path):
    region.write(SPANS)
    assert region.ask("GET", path).status_code == 400


@pytest.mark.parametrize("body", [b"x", b"[[1,2]]", b"[[1,2,3.0]]", b"[[1,2,2147483648]]", b'{"points":[]}'])
def test_bad_points_are_refused(region, body):
    assert region.ask("POST", "ptquery", body).status_code == 400


def test_a_mask_beyond_the_limit_of_answers_is_refused(make_region):
    region = make_region(limits={"limits.answerBytes": "1 MiB"})
    region.write([[0, 0, -(2**31), 2**31 - 1]])
    assert region.ask("GET", "mask/0_1_2/1024_1024_1/0_0_0").status_code == 200
    reply = region.ask("GET", "mask/0_1_2/1024_1024_2/0_0_0")
    assert reply.status_code == 413
    assert "limits.answerBytes" in reply.text
    assert region.ask("GET", "mask/0_1_2/2147483647_2147483647_2147483647/0_0_0").status_code == 413


def test_a_partition_of_a_huge_span_into_tiny_boxes_is_refused(region):
    region.write([[0, 0, -(2**31), 2**31 - 1]])
    for style in ("", "&optimized=true", "&optimized=cover"):
        reply = region.ask("GET", "partition?batchsize=1" + style)
        assert reply.status_code == 413
        assert "batchsize" in reply.text


@pytest.mark.parametrize("optimized", ["", "true", "cover"])
def test_a_partition_does_not_walk_through_emptiness(region, optimized):
    far = 2**31 - 1
    spans = [[z, y, x, x] for z in (-far, far) for y in (-far, far) for x in (-far, far)]
    region.write(spans)
    parts = region.ask("GET", f"partition?batchsize=1&optimized={optimized}").json
    assert parts["NumActiveBlocks"] == len(spans)
    assert parts["ROI"] == {"MinChunk": [-far] * 3, "MaxChunk": [far] * 3}


def test_a_mask_larger_than_a_piece_is_streamed_right(region):
    region.write([[z, y, (z + y) % 3, (z + y) % 3] for z in range(3) for y in range(40)])
    data = region.ask("GET", "mask/0_1_2/96_1280_70/0_0_5?exact=true").content
    mask = np.frombuffer(data, np.uint8).reshape(70, 1280, 96)
    z, y, x = (axis // 32 for axis in np.ogrid[5:75, 0:1280, 0:96])
    np.testing.assert_array_equal(mask, x == (z + y) % 3)


def test_a_mask_of_one_very_long_row_is_streamed_right(region):
    region.write([[0, 0, 0, 0], [0, 1, 50_000, 50_000]])
    data = region.ask("GET", "mask/0_1_2/1700000_33_2/0_1_31").content
    mask = np.frombuffer(data, np.uint8).reshape(2, 33, 1_700_000)
    expected = np.zeros_like(mask)
    expected[0, :31, :32] = 1
    expected[0, 31:, 1_600_000:1_600_032] = 1
    np.testing.assert_array_equal(mask, expected)


def test_a_mask_below_zero_is_right_when_asked_for_exactly(region):
    """Without `exact`, spans that end in the first block are missing, as recorded from the reference server."""
    region.write([[-1, -1, -1, -1], [-1, 0, -1, 0]])
    path = "mask/0_1_2/40_40_4/-20_-20_-4"
    exact = np.frombuffer(region.ask("GET", path + "?exact=true").content, np.uint8).reshape(4, 40, 40)
    z, y, x = (axis // 32 for axis in np.ogrid[-4:0, -20:20, -20:20])
    np.testing.assert_array_equal(exact, (z == -1) & ((y == -1) & (x == -1) | (y == 0) & (x >= -1) & (x <= 0)))
    assert exact.any()
    assert not any(region.ask("GET", path).content)


def test_a_branch_changes_its_own_region_only(region):
    region.write(SPANS)
    region.commit(region.node)
    main, side = region.child(region.node), region.child(region.node, "side")
    assert region.spans(node=main) == region.spans(node=side) == SPANS
    region.write([[0, 1, 2, 2], [9, 0, 0, 0]], node=side)
    region.ask("DELETE", "roi", node=main)
    assert region.spans() == SPANS
    assert region.spans(node=main) == []
    assert region.spans(node=side) == [[0, 1, 2, 2], [9, 0, 0, 0]]
    ranges = [region.info(node=node)["Extended"] for node in (region.node, main, side)]
    assert [(found["MinZ"], found["MaxZ"]) for found in ranges] == [(-1, 2), (2**31 - 1, -(2**31)), (0, 9)]
    assert region.ask("POST", "ptquery", [[64, 32, 0], [96, 32, 0]], node=side).json == [True, False]
    assert region.ask("POST", "ptquery", [[64, 32, 0], [96, 32, 0]]).json == [True, True]


def test_a_committed_region_does_not_change_but_answers(region):
    region.write(SPANS)
    region.commit(region.node)
    assert region.ask("POST", "ptquery", [[0, 0, -1]]).json == [True]
    with pytest.raises(AssertionError):
        region.write([], node=region.node)


def test_a_merged_region_in_conflict_can_be_written_anew(region):
    region.write([[0, 0, 0, 0]])
    region.commit(region.node)
    sides = [region.child(region.node, name) for name in ("one", "two")]
    for number, side in enumerate(sides):
        region.write([[0, 0, 0, number + 1], [number + 5, 0, 0, 0]], node=side)
        region.commit(side)
    body = json.dumps({"mergeType": "conflict-free", "parents": sides, "note": ""})
    merged = region.request("POST", f"/api/repo/{region.node}/merge", body).json["child"]
    assert region.ask("GET", "roi", node=merged).status_code == 409
    info = region.info(node=merged)["Extended"]
    assert (info["MinZ"], info["MaxZ"]) == (0, 6)
    region.write([[3, 3, 3, 3]], node=merged)
    assert region.spans(node=merged) == [[3, 3, 3, 3]]
    assert (region.info(node=merged)["Extended"]["MinZ"], region.info(node=merged)["Extended"]["MaxZ"]) == (3, 3)


def test_of_two_posts_at_the_same_time_one_whole_result_stays(region):
    versions = [[[z, y, n, n] for z in range(20) for y in range(5)] for n in range(4)]
    start = threading.Barrier(len(versions))

    def post(spans):
        start.wait()
        region.write(spans)

    for _ in range(5):
        with ThreadPoolExecutor(len(versions)) as pool:
            list(pool.map(post, versions))
        assert region.spans() in versions


def test_changes_are_in_the_mutation_log(region):
    region.write(SPANS)
    region.ask("DELETE", "roi")
    events = region.ask("GET", "mutations").json
    assert [(event["Action"], event["Spans"], event["MinZ"]) for event in events] == [
        ("post-roi", 4, -1),
        ("delete-roi", 0, None),
    ]
    assert events[0]["MutationID"] < events[1]["MutationID"]


def test_the_block_size_can_change_until_there_are_spans(region):
    assert region.ask("POST", "info", {"BlockSize": "16,8,4"}).json["Extended"]["BlockSize"] == [16, 8, 4]
    assert region.ask("POST", "info", b"").json["Extended"]["BlockSize"] == [16, 8, 4]
    for bad in (b"[]", b"x", {"BlockSize": "1,2"}, {"BlockSize": "0,1,1"}, {"Other": 1}):
        assert region.ask("POST", "info", bad).status_code == 400
    region.write([[0, 0, 0, 0]])
    assert region.ask("POST", "info", {"BlockSize": "16,8,4"}).status_code == 200
    assert region.ask("POST", "info", {"BlockSize": "32,32,32"}).status_code == 409
    mask = np.frombuffer(region.ask("GET", "mask/0_1_2/20_20_20/0_0_0").content, np.uint8).reshape(20, 20, 20)
    assert mask.sum() == mask[:4, :8, :16].sum() == 16 * 8 * 4


@pytest.mark.parametrize("size", ["0,1,1", "-1,1,1", "1025,1,1", "1024,1024,1024", "32", "a,b,c", "1.5,1,1", "nan,1,1"])
def test_a_block_size_out_of_bounds_is_refused(make_region, size):
    with pytest.raises(AssertionError, match="BlockSize"):
        make_region(size)


def test_the_help_tells_of_every_request(region):
    text = region.ask("GET", "help").text
    for word in ("POST /roi", "DELETE /roi", "/mask/", "/ptquery", "/partition", "batchsize", "exact", "cover"):
        assert word in text

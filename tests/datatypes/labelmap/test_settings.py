"""The settings of labelmap instances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.datatypes.labelmap.conftest import MakeSegmentation, Segmentation

from dvid.background import work_off


@pytest.fixture
def labels(make_segmentation: MakeSegmentation) -> Segmentation:
    return make_segmentation(BlockSize="16,32,48", VoxelSize="4,4,40", MaxDownresLevel=1)


def test_infos_show_what_was_set_and_what_is_held(labels: Segmentation) -> None:
    shown = labels.info()["Extended"]
    assert shown["BlockSize"] == [16, 32, 48]
    assert shown["VoxelSize"] == [4, 4, 40]
    assert (shown["IndexedLabels"], shown["MaxDownresLevel"]) == (True, 1)
    assert shown["Values"] == [{"DataType": "uint64", "Label": "labelmap"}]
    assert (shown["MaxLabel"], shown["MaxRepoLabel"], shown["MinPoint"], shown["WaitingBlocks"]) == ({}, 0, None, 0)
    labels.write((0, 32, 16), np.full((48, 32, 32), 77, np.uint64))
    shown = labels.info()["Extended"]
    assert list(shown["MaxLabel"].values()) == [77]
    assert shown["MaxRepoLabel"] == 77
    assert (shown["MinPoint"], shown["MaxPoint"]) == ([16, 32, 0], [47, 63, 47])
    assert shown["WaitingBlocks"] == 2
    while work_off(labels.database):
        pass
    assert labels.info()["Extended"]["WaitingBlocks"] == 0


def test_blocks_need_not_be_cubes(labels: Segmentation) -> None:
    voxels = np.random.default_rng(0).integers(0, 4, (96, 64, 32)).astype(np.uint64)
    labels.write((-48, 0, -16), voxels)
    np.testing.assert_array_equal(labels.read((-48, 0, -16), voxels.shape), voxels)
    np.testing.assert_array_equal(labels.read((-7, 13, 3), (20, 30, 9)), voxels[41:61, 13:43, 19:28])
    runs = np.frombuffer(labels.get("sparsevol/3").content, "<i4")[3:].reshape(-1, 4)
    assert runs[:, 3].sum() == (voxels == 3).sum()
    half = np.frombuffer(labels.get("raw/0_1_2/16_32_48/-8_0_-24?scale=1").content, np.uint64)
    assert set(half.tolist()) <= {0, 1, 2, 3}
    assert (half != 0).mean() > 0.9


@pytest.mark.parametrize(
    "settings",
    [
        {"BlockSize": "8,8,8"},
        {"BlockSize": "16,16,24"},
        {"BlockSize": "0,16,16"},
        {"BlockSize": "-16,16,16"},
        {"BlockSize": "1024,1024,1024"},
        {"BlockSize": "16,16"},
        {"MaxDownresLevel": 256},
        {"MaxDownresLevel": -1},
        {"MaxDownresLevel": "many"},
        {"IndexedLabels": "perhaps"},
        {"VoxelSize": "0,1,1"},
        {"NoSuchSetting": 1},
    ],
)
def test_settings_that_make_no_sense_are_refused(labels: Segmentation, settings: dict[str, Any]) -> None:
    body = {"typename": "labelmap", "dataname": "other", **settings}
    reply = labels.request("POST", f"/api/repo/{labels.node}/instance", body)
    assert reply.status_code == 400, reply.text
    assert next(iter(settings)).lower() in reply.text.lower()
    assert "other" not in labels.request("GET", f"/api/repo/{labels.node}/info").json["DataInstances"]


def test_some_settings_can_be_changed_later_even_at_a_committed_node(labels: Segmentation) -> None:
    labels.write((0, 0, 0), np.full((48, 32, 16), 7, np.uint64))
    labels.commit(labels.node)
    labels.post("info", {"voxelsize": "8,8,8", "MaxDownresLevel": 3, "GridStore": "g"})
    shown = labels.info()["Extended"]
    assert (shown["VoxelSize"], shown["MaxDownresLevel"], shown["GridStore"]) == ([8, 8, 8], 3, "g")
    assert (shown["BlockSize"], shown["IndexedLabels"]) == ([16, 32, 48], True)
    assert labels.status("GET", "raw/0_1_2/8_8_8/0_0_0?scale=3") == 200
    assert labels.status("GET", "raw/0_1_2/8_8_8/0_0_0?scale=4") == 400


def test_scales_that_are_taken_away_and_added_again_show_what_was_written_meanwhile(
    make_segmentation: MakeSegmentation,
) -> None:
    labels = make_segmentation(BlockSize="32,32,32", MaxDownresLevel="1")
    labels.write((0, 0, 0), np.full((32, 32, 32), 5, np.uint64))
    labels.post("info", {"MaxDownresLevel": "0"})
    assert labels.status("GET", "label/0_0_0?scale=1") == 400
    labels.write((0, 0, 0), np.full((32, 32, 32), 7, np.uint64))
    labels.post("info", {"MaxDownresLevel": "2"})
    for _ in range(2):
        for scale in range(3):
            assert labels.get(f"label/0_0_0?scale={scale}").json == {"Label": 7}
            assert int.from_bytes(labels.get(f"sparsevol/7?scale={scale}").content[8:12], "little") > 0
        while work_off(labels.database):
            pass
    assert labels.info()["Extended"]["WaitingBlocks"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {"BlockSize": "32,32,32"},
        {"IndexedLabels": "false"},
        {"Background": 1},
        {"VoxelSize": "x"},
        {"MaxDownresLevel": 256},
        {"MaxDownresLevel": 2, "Nothing": 1},
        [],
        "x",
        "",
        "[",
    ],
)
def test_what_would_change_the_meaning_of_stored_blocks_stays(labels: Segmentation, body: Any) -> None:
    before = labels.info()
    reply = labels.ask("POST", "info", body)
    assert reply.status_code == 400, reply.text
    assert labels.info() == before

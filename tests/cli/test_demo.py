"""`dvid demo` from beginning to end."""

from __future__ import annotations

import re
import signal

import h5py
import numpy as np
import pytest
import requests
from tests.waiting import eventually

import dvid as library
from dvid.versions import repos


def versions(text):
    """The UUIDs of the two versions that the demo names."""
    return re.search(r"nodes=([0-9a-f]{32}),([0-9a-f]{32})", text).groups()


def answers(url):
    """Whether a server is there."""
    try:
        return requests.get(url).ok
    except requests.ConnectionError:
        return False


def test_the_demo_makes_two_versions_and_names_them(plain):
    text, _ = plain.both("demo", "--no-wait", "--port", 0, "--size", 64)
    first, second = versions(text)
    assert f"repo={first}&name=grayscale&labels=segmentation" in text
    original = np.load(plain.folder / "demo-data" / "sample-64.npy")
    with library.open(str(plain.folder / "demo-data" / "store"), read_only=True) as store:
        repo = store["demo"]
        assert [node.locked for node in repo.nodes] == [True, True, False]
        before = repo[first]["grayscale"][0:64, 0:64, 0:64]
        after = repo[second]["grayscale"][0:64, 0:64, 0:64]
    assert np.array_equal(before, original)
    changed = np.argwhere(before != after)
    assert changed.min() >= 64 // 3
    assert changed.max() < 64 // 3 * 2
    assert len(changed) > 1000
    # The lines of Python that it tells to try.
    lines = re.findall(r"^  (import dvid|node.*)$", text, re.MULTILINE)
    assert len(lines) == 4
    told = text[text.index("import dvid") :].splitlines()
    names = {}
    program = "\n".join(line.strip() for line in told[:2]).replace("'demo-data/", f"'{plain.folder}/demo-data/")
    exec(program, names)
    assert eval(told[2].strip(), names).shape == (64, 64)
    assert eval(told[3].strip(), names) > 0
    names["node"]._database.close()


def test_the_second_version_has_two_bodies_merged(plain):
    first, second = versions(plain("demo", "--no-wait", "--port", 0, "--size", 128))
    drawn = np.load(plain.folder / "demo-data" / "neurites-128.npy")
    pieces = np.loadtxt(plain.folder / "demo-data" / "neurites-128.csv", np.uint64, delimiter=",", skiprows=1)
    assert len(pieces) > len(np.unique(pieces[:, 1]))
    with library.open(str(plain.folder / "demo-data" / "store"), read_only=True) as store:
        before, after = (store["demo"][uuid]["segmentation"] for uuid in (first, second))
        assert np.array_equal(before.supervoxels[:], drawn)
        neurites = dict(pieces.tolist())
        assert {label: neurites[label] for label in pieces[:, 0].tolist()} == dict(
            zip(pieces[:, 0].tolist(), before.bodies_of(pieces[:, 0]).tolist(), strict=True)
        )
        (gone,) = set(before.bodies()[0].tolist()) - set(after.bodies()[0].tolist())
        (grown,) = set(after[:][before[:] == gone].tolist())
        assert after.members(grown).tolist() == sorted([*before.members(gone), *before.members(grown)])


def test_another_run_shows_the_same_versions(plain):
    first, _ = plain.both("demo", "--no-wait", "--port", 0, "--size", 64)
    again, told = plain.both("demo", "--no-wait", "--port", 0, "--size", 64)
    assert versions(first) == versions(again)
    assert "already" in told


def test_a_demo_that_was_interrupted_is_made_anew(plain):
    plain("demo", "--no-wait", "--port", 0, "--size", 64)
    with library.open(str(plain.folder / "demo-data" / "store")) as store:
        description = next(iter(store)).description
        store.database.transact(lambda tx, directory: repos.delete_repo(tx, directory.repo(tx, 1), ""))
        half = store.create_repo("demo", description).uuid
    text = plain("demo", "--no-wait", "--port", 0, "--size", 64)
    assert half not in versions(text)
    with library.open(str(plain.folder / "demo-data" / "store"), read_only=True) as store:
        assert [repo.uuid for repo in store] == [versions(text)[0]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_demo_serves_until_it_is_stopped_and_leaves_nothing_running(plain, number):
    process = plain.start("demo", "--port", 0, "--size", 64)
    text = ""
    while "node[" not in text:
        line = process.stdout.readline()
        assert line, process.communicate()
        text += line
    url = re.search(r"http://127\.0\.0\.1:\d+", text)[0]
    pictures = [requests.get(link) for link in re.findall(r"http://\S+/raw/xy/\S+", text)]
    assert [picture.status_code for picture in pictures] == [200, 200]
    assert {picture.headers["Content-Type"] for picture in pictures} == {"image/jpeg"}
    assert pictures[0].content != pictures[1].content
    process.send_signal(number)
    _, told = process.communicate(timeout=120)
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 0
        assert "dvid demo" in told
    eventually(lambda: not answers(url))


def test_a_volume_of_ones_own_is_shown(plain):
    np.save(plain.folder / "mine.npy", np.random.default_rng(0).random((20, 70, 90), np.float32))
    text = plain("demo", "--no-wait", "--port", 0, "--source", "mine.npy")
    first, second = versions(text)
    with library.open(str(plain.folder / "demo-data" / "store"), read_only=True) as store:
        before = store[first][first]["grayscale"][0:20, 0:70, 0:90]
        after = store[first][second]["grayscale"][0:20, 0:70, 0:90]
    assert np.array_equal(before, np.load(plain.folder / "mine.npy"))
    assert (before != after).any()


def test_a_port_in_use_is_one_line_and_exit_code_2(on_server):
    port = re.search(r":(\d+)", on_server.target[1])[1]
    complaint = on_server.on().fails("demo", "--no-wait", "--port", port, code=2)
    assert port in complaint
    assert "PORT=" in complaint


@pytest.mark.slow
def test_the_real_volume_is_shown(plain, vnc_path):
    words = ("--source", vnc_path, "--dataset", "raw", "--labels", vnc_path, "--labels-dataset", "supervoxels")
    words += ("--mapping", vnc_path, "--mapping-dataset", "mapping")
    first, second = versions(plain("demo", "--no-wait", "--port", 0, *words))
    with library.open(str(plain.folder / "demo-data" / "store"), read_only=True) as store, h5py.File(vnc_path) as file:
        one, other = store[first][first], store[first][second]
        before, after = (node["grayscale"][0:20, 0:1024, 0:1024] for node in (one, other))
        assert np.array_equal(before, file["raw"])
        assert np.array_equal(one["segmentation"].supervoxels[:], file["supervoxels"])
        assert len(one["segmentation"].bodies()[0]) == 2012
        assert len(other["segmentation"].bodies()[0]) == 2011
    assert (before != after).any()

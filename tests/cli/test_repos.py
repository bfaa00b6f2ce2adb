"""Repos, nodes and instances, by the same words on a store and on a server."""

from __future__ import annotations

import json


def test_a_repo_is_made_filled_described_and_deleted(dvid):
    root = dvid.uuid("repos", "new", "fly", "a fly's brain")
    dvid("repo", root, "new", "uint8blk", "gray", "BlockSize=64,64,32", "VoxelSize=4,4,40")
    dvid("repo", root[:7], "new", "keyvalue", "notes")
    text = dvid("info")
    assert f"fly  {root}  1 node, 1 open  a fly's brain" in text
    assert "64 x 64 x 32" in text
    assert "4, 4, 40 nanometers" in text
    dvid("repo", root, "rename", "notes", "remarks")
    dvid("repo", root, "delete", "gray", "--yes")
    document = json.loads(dvid("info", "--json"))
    assert list(document) == [root]
    assert list(document[root]["DataInstances"]) == ["remarks"]
    dvid("repos", "delete", root[:8], "--yes")
    assert json.loads(dvid("info", "--json")) == {}


def test_nodes_are_committed_continued_branched_and_tagged(dvid):
    root = dvid.uuid("repos", "new", "fly")
    assert dvid.uuid("node", root, "commit", "--note", "as imported") == root
    child = dvid.uuid("node", root, "newversion", "--note", "next")
    twig = dvid.uuid("node", root, "branch", "twig")
    dvid("node", f"{root}:master", "commit")
    dvid("node", child, "tag", "v1")
    nodes = json.loads(dvid("info", twig, "--json"))[root]["DAG"]["Nodes"]
    assert {nodes[root]["Note"], nodes[child]["Note"]} == {"as imported", "next"}
    assert nodes[twig]["Branch"] == "twig"
    assert nodes[root]["Locked"]
    assert nodes[child]["Locked"]
    assert not nodes[twig]["Locked"]
    assert "v1" in nodes
    table = dvid("info", "v1")
    assert "as imported" in table
    assert "twig" in table


def test_what_cannot_be_is_exit_code_2_and_says_why(dvid):
    root = dvid.uuid("repos", "new", "fly")
    assert "open" in dvid.fails("node", root, "newversion", code=2)
    assert "ffff0000" in dvid.fails("node", "ffff0000", "commit", code=2)
    assert "uint9blk" in dvid.fails("repo", root, "new", "uint9blk", "gray", code=2)
    assert "Blocksiz" in dvid.fails("repo", root, "new", "uint8blk", "gray", "Blocksiz=3", code=2)
    assert "KEY=VALUE" in dvid.fails("repo", root, "new", "uint8blk", "gray", "BlockSize", code=2)
    assert "--yes" in dvid.fails("repos", "delete", root, code=2)
    assert "gray" in dvid.fails("repo", root, "delete", "gray", "--yes", code=2)


def test_a_passcode_guards_a_repo(dvid):
    root = dvid.uuid("repos", "new", "fly", "--passcode", "s3cret")
    assert "passcode" in dvid.fails("repos", "delete", root, "--yes", code=2)
    dvid("repos", "delete", root, "--yes", "--passcode", "s3cret")
    assert json.loads(dvid("info", "--json")) == {}


def test_server_and_store_exclude_each_other(plain):
    assert "exclude" in plain.fails("info", "--data", "x", "--server", "http://127.0.0.1:1", code=2)


def test_without_a_server_the_complaint_says_what_to_do(plain):
    complaint = plain.fails("info", "--server", "http://127.0.0.1:1", code=1)
    assert "dvid serve" in complaint
    assert "--data" in complaint


def test_only_a_new_repo_makes_a_store(plain):
    complaint = plain.fails("info", "--data", "nowhere", code=2)
    assert "nowhere" in complaint
    assert not (plain.folder / "nowhere").exists()
    (plain.folder / "other").mkdir()
    (plain.folder / "other" / "letter.txt").write_text("dear reader")
    assert "not a dvid store" in plain.fails("repos", "new", "fly", "--data", "other", code=2)
    plain("repos", "new", "fly", "--data", "nowhere")
    assert "fly" in plain("info", "--data", "nowhere")


def test_a_store_is_worked_on_while_a_server_has_it_open(on_server):
    root = on_server.uuid("repos", "new", "fly")
    beside = on_server.on("--data", "store")
    beside("repo", root, "new", "uint8blk", "gray")
    assert "gray" in on_server("info")


def test_the_server_is_named_by_a_variable(on_server):
    on_server("repos", "new", "fly")
    bare = on_server.on()
    bare.environment["DVID_SERVER"] = on_server.target[1]
    assert "fly" in bare("info")

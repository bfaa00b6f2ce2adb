"""Clients that change the versions and instances of a repo at the same moment, through two servers on one store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.concurrency.conftest import at_once, new_instance
from tests.conftest import TOKEN, Server
from tests.crash.load import Http

ROUNDS = 5
CLIENTS = 8


def nodes_of(server: Server, root: str) -> dict[str, Any]:
    http = Http(server.url, TOKEN)
    nodes: dict[str, Any] = json.loads(http.get(f"/api/repo/{root}/info"))["DAG"]["Nodes"]
    http.close()
    versions = {node["VersionID"]: node for node in nodes.values()}
    assert len(versions) == len(nodes)
    for node in nodes.values():
        assert all(node["VersionID"] in versions[parent]["Children"] for parent in node["Parents"])
        assert all(node["VersionID"] in versions[child]["Parents"] for child in node["Children"])
    return nodes


def raced(servers: list[Server], path: str, *bodies: Any) -> list[tuple[int, Any]]:
    """The answers to the same POST from all clients, each on a connection of its own."""

    def work(client: int, http: Http) -> tuple[int, Any]:
        status, answer = http.call("POST", path, json.dumps(bodies[client % len(bodies)]).encode())
        return status, json.loads(answer) if status == 200 and answer else answer

    return at_once(servers, work, CLIENTS)


def winners(answers: list[tuple[int, Any]]) -> list[Any]:
    """What the successful ones were answered; the others must have been told one line, and no fault of the server."""
    for status, answer in answers:
        if status != 200:
            assert 400 <= status < 500, answer
            assert answer.count(b"\n") == 1
    return [answer for status, answer in answers if status == 200]


def committed(server: Server, root: str) -> str:
    http = Http(server.url, TOKEN)
    http.post(f"/api/node/{root}/commit", {})
    http.close()
    return root


@pytest.fixture
def root(servers: list[Server]) -> str:
    return new_instance(servers[0], "keyvalue").split("/")[3]


def test_one_of_many_commits_wins(servers: list[Server], root: str) -> None:
    answers = raced(servers, f"/api/node/{root}/commit", *({"note": f"by {n}", "log": ["x"]} for n in range(CLIENTS)))
    assert winners(answers) == [{"committed": root}]
    node = nodes_of(servers[0], root)[root]
    status_of = {f"by {number}": answers[number][0] for number in range(CLIENTS)}
    assert status_of[node["Note"]] == 200
    assert len(node["Log"]) == 1


def test_one_of_many_new_versions_is_made(servers: list[Server], root: str) -> None:
    head = committed(servers[0], root)
    for _ in range(ROUNDS):
        made = winners(raced(servers, f"/api/node/{head}/newversion", {"note": "next"}))
        assert len(made) == 1
        child = made[0]["child"]
        nodes = nodes_of(servers[1], root)
        assert nodes[head]["Children"] == [nodes[child]["VersionID"]]
        head = committed(servers[1], child)
    assert len(nodes_of(servers[0], root)) == 1 + ROUNDS


def test_one_of_many_branches_of_a_name_is_made(servers: list[Server], root: str) -> None:
    committed(servers[0], root)
    for number in range(ROUNDS):
        made = winners(raced(servers, f"/api/node/{root}/branch", {"branch": f"side{number}"}))
        assert len(made) == 1
    made = winners(raced(servers, f"/api/node/{root}/branch", *({"branch": f"own{n}"} for n in range(CLIENTS))))
    assert len(made) == CLIENTS
    nodes = nodes_of(servers[0], root)
    assert sorted(node["Branch"] for node in nodes.values()) == sorted(
        ["", *(f"side{n}" for n in range(ROUNDS)), *(f"own{n}" for n in range(CLIENTS))]
    )


def test_one_of_many_uses_of_a_uuid_or_tag_wins(servers: list[Server], root: str) -> None:
    committed(servers[0], root)
    uuid = root[::-1]
    bodies = [{"branch": f"b{n}", "uuid": uuid} for n in range(CLIENTS)]
    assert winners(raced(servers, f"/api/node/{root}/branch", *bodies)) == [{"child": uuid}]
    tag = f"release{root[:8]}"
    assert winners(raced(servers, f"/api/node/{root}/tag", {"tag": tag})) == [{"child": tag}]
    assert len(nodes_of(servers[0], root)) == 3


def test_one_of_many_instances_of_a_name_is_made(servers: list[Server], root: str) -> None:
    types = ["keyvalue", "roi", "uint8blk"]
    for number in range(ROUNDS):
        bodies = [{"typename": types[n % 3], "dataname": f"data{number}"} for n in range(CLIENTS)]
        answers = raced(servers, f"/api/repo/{root}/instance", *bodies)
        assert len(winners(answers)) == 1
        winner = next(n for n, (status, _) in enumerate(answers) if status == 200)
        http = Http(servers[number % 2].url, TOKEN)
        info = json.loads(http.get(f"/api/node/{root}/data{number}/info"))["Base"]
        assert info["TypeName"] == types[winner % 3]
        http.close()


def test_merges_of_the_same_parents_are_all_whole(servers: list[Server], root: str) -> None:
    committed(servers[0], root)
    http = Http(servers[0].url, TOKEN)
    parents = []
    for name in ("left", "right"):
        child = http.post(f"/api/node/{root}/branch", {"branch": name})["child"]
        http.post(f"/api/node/{child}/x/key/{name}", name)
        http.post(f"/api/node/{child}/x/key/both", name)
        parents.append(committed(servers[1], child))
    body = {"mergeType": "conflict-free", "parents": parents}
    merged = [one["child"] for one in winners(raced(servers, f"/api/repo/{root}/merge", body))]
    resolved_body = {"data": ["x"], "parents": parents}
    resolved = [one["child"] for one in winners(raced(servers, f"/api/repo/{root}/resolve", resolved_body))]
    assert merged
    assert resolved
    nodes = nodes_of(servers[1], root)
    versions = [nodes[parent]["VersionID"] for parent in parents]
    assert len(nodes) == 3 + len(set(merged)) + len(set(resolved))
    for child in (*merged, *resolved):
        assert nodes[child]["Parents"] == versions
        for name in ("left", "right"):
            assert http.get(f"/api/node/{child}/x/key/{name}") == json.dumps(name).encode()
        status, value = http.call("GET", f"/api/node/{child}/x/key/both")
        assert (status, value) == (200, b'"left"') if child in resolved else status == 409
    http.close()


def test_a_commit_among_writers_ends_the_writing(servers: list[Server], root: str) -> None:
    """What was answered before the commit is in the version, and nothing else."""

    def work(client: int, http: Http) -> list[str]:
        if client == 0:
            while len(json.loads(http.get(f"/api/node/{root}/x/keys"))) < 20:
                pass
            http.post(f"/api/node/{root}/commit", {})
            return json.loads(http.get(f"/api/node/{root}/x/keys"))
        done = []
        for number in range(10_000):
            status, answer = http.call("POST", f"/api/node/{root}/x/key/{client}.{number:05}", b"1")
            if status != 200:
                assert status == 400, answer
                return done
            done.append(f"{client}.{number:05}")
        raise AssertionError("the commit did not come")

    at_commit, *written = at_once(servers, work, CLIENTS)
    http = Http(servers[1].url, TOKEN)
    assert json.loads(http.get(f"/api/node/{root}/x/keys")) == at_commit == sorted(k for keys in written for k in keys)
    events = json.loads(http.get(f"/api/node/{root}/x/mutations"))
    assert sorted(event["Key"] for event in events) == at_commit
    http.close()


def test_an_instance_deleted_under_writers_leaves_nothing(servers: list[Server], root: str) -> None:
    for number in range(ROUNDS):
        body = {"typename": "uint8blk", "dataname": "doomed"}
        http = Http(servers[0].url, TOKEN)
        http.post(f"/api/repo/{root}/instance", body)
        path = f"/api/node/{root}/doomed"

        def work(client: int, http: Http, path: str = path, number: int = number) -> None:
            if client == 0:
                http.get(f"{path}/info")
                status, answer = http.call("DELETE", f"/api/repo/{root}/instance/doomed?imsure=true", admin=True)
                assert status == 200, answer
                return
            for _ in range(10_000):
                status, answer = http.call("POST", f"{path}/raw/0_1_2/32_32_32/0_0_{32 * client}", bytes(32**3))
                if status != 200:
                    assert status == 400, answer
                    return
            raise AssertionError("the instance is still there")

        at_once(servers, work)
        http.post(f"/api/repo/{root}/instance", body)  # the name is free, and what has it now is empty
        assert json.loads(http.get(f"{path}/info"))["Extended"]["MinPoint"] is None
        assert json.loads(http.get(f"{path}/mutations")) == []
        status, _ = http.call("DELETE", f"/api/repo/{root}/instance/doomed?imsure=true", admin=True)
        assert status == 200
        http.close()


def test_the_store_is_sound_after_all_this(servers: list[Server]) -> None:
    from tests.crash.test_kill import assert_store_is_sound

    assert_store_is_sound(Path(servers[0].data))

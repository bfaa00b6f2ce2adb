"""Types that are known, but whose data is not served yet."""

import json

import falcon.testing
import pytest

from dvid.config import load_config
from dvid.database import Database
from dvid.datatypes.base import datatypes
from dvid.http.app import create_app

TOKEN = "token-for-tests"
KNOWN = {
    "annotation": {},
    "imagetile": {},
    "labelsz": {},
    "multichan16": {},
    "neuronjson": {},
    "tarsupervoxels": {"Extension": "dat"},
}


class Server:
    def __init__(self, database, path):
        config = load_config(None, {"data": path}, environ={"DVID_ADMIN_TOKEN": TOKEN})
        self.app = create_app(database, config)
        admin = {"Authorization": f"Bearer {TOKEN}"}
        self.root = self.ask("POST", "/api/repos", {}, headers=admin).json["root"]

    def ask(self, method, path, body=None, headers=None):
        path, _, query = path.partition("?")
        data = None if body is None else json.dumps(body)
        return falcon.testing.simulate_request(
            self.app, method, path, query_string=query, body=data, headers=headers, host="localhost"
        )

    def make(self, typename, name="it", **settings):
        return self.ask("POST", f"/api/repo/{self.root}/instance", {"typename": typename, "dataname": name, **settings})

    def data(self, method, path, body=None, name="it"):
        return self.ask(method, f"/api/node/{self.root}/{name}/{path}", body)

    def extended(self):
        return self.data("GET", "info").json["Extended"]


@pytest.fixture
def server(tmp_path):
    path = str(tmp_path / "store")
    with Database.open(path, durability="relaxed") as database:
        yield Server(database, path)


def test_no_type_is_forgotten():
    assert {name for name, kind in datatypes().items() if not kind.served} == set(KNOWN)


@pytest.mark.parametrize("typename", KNOWN)
def test_instances_live_like_any_others(server, typename):
    assert server.make(typename, **KNOWN[typename]).status_code == 200
    assert server.make(typename, **KNOWN[typename]).status_code == 400  # the name is taken
    base = server.data("GET", "info").json["Base"]
    assert (base["TypeName"], base["Name"], base["Versioned"]) == (typename, "it", True)
    assert typename in server.data("GET", "help").text
    assert server.data("POST", "tags", {"a": "1"}).status_code == 200
    assert server.make("labelmap", "seg").status_code == 200
    assert server.data("POST", "sync", {"sync": "seg"}).status_code == 200
    base = server.data("GET", "info").json["Base"]
    assert (base["Tags"], base["Syncs"]) == ({"a": "1"}, ["seg"])
    assert typename in server.ask("GET", f"/api/help/{typename}").text


@pytest.mark.parametrize("typename", KNOWN)
def test_their_data_is_not_served_and_the_answer_says_so(server, typename):
    server.make(typename, **KNOWN[typename])
    for method, path in (("GET", "raw/0_1_2/8_8_8/0_0_0"), ("POST", "elements"), ("DELETE", "key/1")):
        reply = server.data(method, path)
        assert reply.status_code == 501
        assert typename in reply.text
    server.ask("POST", f"/api/node/{server.root}/commit", {})
    assert server.data("POST", "elements").status_code == 400
    assert server.data("GET", "elements").status_code == 501


@pytest.mark.parametrize("typename", KNOWN)
def test_unknown_settings_are_refused(server, typename):
    reply = server.make(typename, **KNOWN[typename], Nonsense="1")
    assert reply.status_code == 400
    assert "Nonsense" in reply.text
    assert server.data("GET", "info").status_code in (400, 404)


@pytest.mark.parametrize(
    ("typename", "settings"),
    [
        ("labelmap", {"BlockSize": "30,30,30"}),
        ("labelmap", {"BlockSize": "512,512,512"}),
        ("labelmap", {"BlockSize": "0,16,16"}),
        ("labelmap", {"MaxDownresLevel": "x"}),
        ("labelmap", {"MaxDownresLevel": "256"}),
        ("labelmap", {"IndexedLabels": "x"}),
        ("labelmap", {"CountLabels": "true"}),
        ("labelarray", {"CountLabels": "x"}),
        ("labelarray", {"Background": "256"}),
        ("labelblk", {"BlockSize": "20,16,16"}),
        ("labelblk", {"VoxelSize": "8,8"}),
        ("labelblk", {"VoxelSize": "8,8,0"}),
        ("labelblk", {"VoxelUnits": "nanometers"}),
        ("labelblk", {"MinPoint": "0,0,0"}),
        ("labelblk", {"MinPoint": "9,0,0", "MaxPoint": "8,8,8"}),
        ("labelblk", {"MinPoint": "0,0,0", "MaxPoint": "8,8,4294967296"}),
        ("labelvol", {"BlockSize": "2000,1,1"}),
        ("labelsz", {"ROI": "nocomma"}),
        ("labelsz", {"ROI": "a,"}),
        ("tarsupervoxels", {}),
        ("tarsupervoxels", {"Extension": "../x"}),
        ("imagetile", {"Format": "gif"}),
        ("imagetile", {"Placeholder": "maybe"}),
        ("multichan16", {"BlockSize": "a"}),
        ("annotation", {"BlockSize": "32,32,32"}),
    ],
)
def test_bad_settings_are_refused(server, typename, settings):
    reply = server.make(typename, **settings)
    assert reply.status_code == 400
    assert any(name in reply.text for name in settings or ["Extension"])


def test_settings_show_in_infos(server):
    server.make("labelmap", BlockSize="32,16,64", MaxDownresLevel="3", IndexedLabels="false", VoxelSize="4,4.5,40")
    assert server.extended() == {
        "Values": [{"DataType": "uint64", "Label": "labelmap"}],
        "Interpolable": False,
        "BlockSize": [32, 16, 64],
        "VoxelSize": [4, 4.5, 40],
        "VoxelUnits": ["nanometers"] * 3,
        "MinPoint": None,
        "MaxPoint": None,
        "MinIndex": None,
        "MaxIndex": None,
        "Background": 0,
        "GridStore": "",
        "ScaleLevel": 0,
        "MaxLabel": {},
        "MaxRepoLabel": 0,
        "NextLabel": 0,
        "IndexedLabels": False,
        "MaxDownresLevel": 3,
        "WaitingBlocks": 0,
    }


def test_extents_known_beforehand_show_in_infos(server):
    server.make("labelarray", MinPoint="-1,0,64", MaxPoint="63,64,64")
    info = server.data("GET", "info").json
    assert info["Extents"] == {"MinPoint": [-1, 0, 64], "MaxPoint": [63, 64, 64]}
    assert (info["Extended"]["MinIndex"], info["Extended"]["MaxIndex"]) == ([-1, 0, 1], [0, 1, 1])


def test_tiles_show_their_encoding(server):
    for number, (format_name, code) in enumerate({"lz4": 0, "PNG": 1, "jpg": 2}.items()):
        server.make("imagetile", f"tiles{number}", Format=format_name, Source="gray")
        extended = server.data("GET", "info", name=f"tiles{number}").json["Extended"]
        assert (extended["Encoding"], extended["Source"], extended["Placeholder"]) == (code, "gray", False)

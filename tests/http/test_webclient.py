"""The files of a web client that the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.http.conftest import MakeClient


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "client"
    (made / "js").mkdir(parents=True)
    (made / "index.html").write_text("<h1>client</h1>")
    (made / "js" / "main.js").write_text("1")
    (tmp_path / "secret.txt").write_text("secret")
    (made / "link.txt").symlink_to(tmp_path / "secret.txt")
    return made


def test_the_files_of_the_client_are_served_in_place_of_the_built_in_page(client_of: MakeClient, folder: Path) -> None:
    client = client_of(**{"server.webClient": str(folder)})
    page = client.simulate_get("/")
    assert (page.status_code, page.text) == (200, "<h1>client</h1>")
    assert page.headers["content-type"] == "text/html"
    script = client.simulate_get("/js/main.js")
    assert (script.status_code, script.text) == (200, "1")
    assert "javascript" in script.headers["content-type"]
    assert client.simulate_get("/api/heartbeat").status_code == 200


@pytest.mark.parametrize("path", ["/../secret.txt", "/js/../../secret.txt", "/link.txt", "/js", "/nosuch"])
def test_nothing_outside_the_folder_is_served(client_of: MakeClient, folder: Path, path: str) -> None:
    answer = client_of(**{"server.webClient": str(folder)}).simulate_get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text.replace("secret.txt", "")


def test_what_is_not_there_is_redirected_or_answered_by_the_default_file(client_of: MakeClient, folder: Path) -> None:
    moved = client_of(**{"server.webClient": str(folder), "server.webRedirectPath": "/"}).simulate_get("/a/b")
    assert (moved.status_code, moved.headers["location"]) == (302, "/")
    client = client_of(**{"server.webClient": str(folder), "server.webDefaultFile": "index.html"})
    assert client.simulate_get("/a/b").text == "<h1>client</h1>"

"""A server as objects: repos, versions, data instances."""

import gc
import http.server
import os
import re
import threading
import uuid

import pytest
from urllib3.connection import HTTPConnection

import dvidclient
from dvidclient.errors import BadArgument, NoAnswer, ServerRefused


@pytest.fixture
def server(server_url, admin_token):
    return dvidclient.connect(server_url, token=admin_token or None)


@pytest.fixture
def repo(server):
    return server.create_repo(f"fly {uuid.uuid4().hex[:8]}", "what it is for")


def test_a_server_tells_what_it_is_and_which_repos_and_types_it_has(server, server_url, repo):
    assert server.url == server_url
    assert {"uint8blk", "keyvalue"} <= set(server.types)
    assert repo.uuid in server.repos
    assert [found.uuid for found in server] == list(server.repos)
    assert repr(server).startswith(f"<Server {server_url}")
    assert repo.alias in server._repr_html_()


def test_a_server_closes_its_connections_behind_a_with_block(proxy):
    with dvidclient.connect(proxy.url) as server:
        assert len(server.types) > 1
        opened = [link for link in gc.get_objects() if isinstance(link, HTTPConnection) and link.port == proxy.port]
        assert [link.is_connected for link in opened] == [True]
    assert [link.is_connected for link in opened] == [False]
    assert proxy.connections == 1
    assert len(server.types) > 1
    server.close()


def test_a_notebook_shows_a_server_that_is_gone():
    class Gone(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/api/server/info" else 500)
            self.end_headers()
            self.wfile.write(b'{"DVID Version": "1"}')

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Gone) as gone:
        thread = threading.Thread(target=gone.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            shown = dvidclient.connect(f"127.0.0.1:{gone.server_port}", retries=0)._repr_html_()
        finally:
            gone.shutdown()
            thread.join()
    assert "listing the repos failed" in shown


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        (":master~x", "expected a number of steps behind '~', got 'x'"),
        (":master~", "expected a number of steps"),
        (":master~-1", "expected a number of steps"),
        ("zzz:master", "'zzz:master' is the beginning of 0 of the UUIDs"),
        ("", "selector: expected a string that is not empty"),
        (None, "selector: expected a string"),
    ],
)
def test_what_names_no_version_is_refused(repo, selector, said):
    with pytest.raises(BadArgument, match=said):
        repo.node(selector)


def test_a_repo_is_found_by_alias_uuid_and_the_beginning_of_a_uuid(server, repo):
    for name in (repo.alias, repo.uuid, repo.uuid[:12]):
        found = server[name]
        assert (found.uuid, found.alias, found.description) == (repo.uuid, repo.alias, "what it is for")
    with pytest.raises(ServerRefused, match="no-such-repo"):
        server["no-such-repo"]
    server.create_repo(repo.alias)
    with pytest.raises(BadArgument, match="2 repos have the alias"):
        server[repo.alias]


def test_versions_are_committed_continued_and_branched(server, repo):
    root = repo.root
    assert not root.locked
    assert root == repo.master == repo["master"]
    root.commit("as it came", ["loaded"])
    assert (root.locked, root.note) == (True, "as it came")
    child = root.new_version("to be changed")
    side = root.branch("side", "tried")
    assert child.parents == side.parents == [root]
    assert root.children == [child, side]
    assert repo.branches == {"master": child, "side": side}
    assert list(repo.nodes.values()) == [root, child, side]
    assert server.node(f"{repo.uuid}:side") == side
    assert server.node(f"{repo.uuid[:10]}:master~1") == root
    assert (child.branch_name, side.branch_name) == ("", "side")
    assert re.match(r"\d{4}-\d\d-\d\dT", child.created)
    with pytest.raises(BadArgument, match="no branch 'other'"):
        repo.branch("other")
    with pytest.raises(BadArgument, match="back beyond the root"):
        repo.node(":master~2")


def test_branches_without_conflicts_are_merged(repo):
    repo.root.commit()
    sides = [repo.root.branch(name) for name in ("left", "right")]
    for side in sides:
        side.commit()
    merged = repo.merge(sides, "both")
    assert merged.parents == sides
    assert merged.note == "both"


def test_logs_and_notes_are_written_and_read(repo):
    root = repo.root
    root.write_log("one line")
    root.write_log(["two", "three"])
    repo.write_log("of the repo")
    assert [line.split()[-1] for line in root.log] == ["line", "two", "three"]
    assert repo.log[-1].endswith("of the repo")
    root.write_note("said anew")
    assert root.note == "said anew"


def test_repos_and_versions_tell_when_they_were_made_and_changed(repo):
    root = repo.root
    root.write_note("later")
    for one in (repo, root):
        assert re.match(r"\d{4}-\d\d-\d\dT", one.created)
        assert one.created <= one.updated
    assert root.updated > root.created
    assert (str(repo), str(root)) == (f"repo {repo.alias!r}", f"version {root.uuid[:8]} of repo {repo.alias!r}")


def test_instances_are_made_found_tagged_and_deleted(repo):
    root = repo.root
    made = root.create("keyvalue", "values", versioned=True)
    assert (made.name, made.typename) == ("values", "keyvalue")
    assert list(root) == ["values"]
    assert "values" in root
    assert root["values"].data_uuid == made.data_uuid == root.instances["values"].data_uuid
    made.write_tags(lab="ours", stain="uranyl")
    made.write_tags(stain="lead")
    assert made.tags == {"lab": "ours", "stain": "lead"}
    made.write_tags(replace=True, only="this")
    assert made.tags == {"only": "this"}
    with pytest.raises(BadArgument, match="imsure"):
        made.delete()
    with pytest.raises(BadArgument, match="no data instance 'other'; it has values"):
        root["other"]


def test_an_instance_is_deleted_by_those_who_are_sure(repo):
    repo.root.create("keyvalue", "kept")
    gone = repo.root.create("keyvalue", "gone")
    if "DVID_URL" in os.environ:
        pytest.skip("this server may not delete instances")
    gone.delete(imsure=True)
    assert list(repo.root) == ["kept"]
    repo.delete(imsure=True)
    assert repo.uuid not in repo.server.repos


def test_an_instance_that_somebody_else_made_is_found(server, repo):
    server.repo(repo.uuid).root.create("keyvalue", "later")
    assert repo.root["later"].typename == "keyvalue"


def test_what_is_not_to_be_changed_is_refused_with_the_words_of_the_server(server_url, repo):
    repo.root.commit()
    reader = dvidclient.connect(server_url)
    with pytest.raises(ServerRefused, match=f"committing version {repo.uuid[:8]} of repo"):
        reader.node(repo.uuid).commit()


def test_everything_shows_itself_in_a_line_and_in_a_notebook(repo):
    repo.root.create("keyvalue", "values")
    child = repo.root.commit("a <b>").new_version()
    assert repr(repo) == f"<Repo {repo.alias!r} {repo.uuid[:8]} of {repo.server.url}: 2 versions, 1 instance>"
    assert repr(child) == f"<Node {child.uuid[:8]} of repo {repo.alias!r}: master, open>"
    assert "a &lt;b&gt;" in repo._repr_html_()
    assert "<b>&lt;" not in repo.root._repr_html_()
    assert "keyvalue" in child["values"]._repr_html_()


def test_where_no_server_is_nothing_is_opened():
    with pytest.raises(NoAnswer, match=r"connecting to http://127\.0\.0\.1:9 failed"):
        dvidclient.connect("127.0.0.1:9", retries=0)

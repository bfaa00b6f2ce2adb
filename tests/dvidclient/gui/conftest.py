"""The browser as a person sees it, on a server with something in it; and a server that lets one wait."""

import http.server
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import urllib3

from dvidclient import connect
from dvidclient.volume_client import VolumeClient

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

ARTIFACTS = Path(__file__).parents[3] / "artifacts"
WAIT = 60_000
"""Milliseconds until something that does not happen counts as not happening."""


def pytest_collection_modifyitems(config, items):
    """Warnings of Qt fail tests; and without the plugin for tests of Qt they are skipped."""
    here = Path(__file__).parent
    with_qt = config.pluginmanager.hasplugin("pytest-qt")
    for item in items:
        if here not in item.path.parents:
            continue
        if with_qt:
            item.add_marker(pytest.mark.qt_log_level_fail("WARNING"))
            item.add_marker(pytest.mark.qt_log_ignore("This plugin does not support"))
            # While Qt's own loop runs, and it may wait for ever, no handler of a signal does.
            item.add_marker(pytest.mark.timeout(300, method="thread"))
        elif {"qtbot", "qapp"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.skip(reason="pytest-qt is not loaded: it needs Qt and the libraries of Qt"))


@pytest.fixture
def own_settings(tmp_path):
    """The browser remembers nothing of other tests, nor of the one who runs them."""
    from qtpy.QtCore import QSettings

    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path))


@pytest.fixture(scope="session")
def contents(server_url, post):
    """A repo with branches, a merge and volumes.

    master: root (committed) - second (committed) - merged (committed) - newest (open); side: from root, committed, merged;
    experiment: from root, open.
    """
    alias = f"contents-{os.getpid()}"
    uuid = post(f"{server_url}/api/repos", {"alias": alias, "description": "a crop of the medulla"})["root"]
    repo = connect(server_url).repo(uuid)
    root = repo.root
    root.create("uint8blk", "grayscale", BlockSize="32,32,32", VoxelSize="8,8,16")
    root.create("labelmap", "bodies", BlockSize="64,64,64")
    root.create("uint16blk", "empty")
    root.create("keyvalue", "remarks")
    random = np.random.default_rng(5)
    gray_xyz = random.integers(0, 256, (64, 96, 32), np.uint8)
    labels_xyz = np.repeat(np.repeat(random.integers(0, 2**40, (16, 16, 16), np.uint64), 8, 0), 8, 1)
    labels_xyz = np.repeat(labels_xyz, 8, 2)
    for name, voxels in (("grayscale", gray_xyz), ("bodies", labels_xyz)):
        VolumeClient(server_url, uuid, name).modify_subvolume((0, 0, 0, 0), (1, *voxels.shape), voxels[None])
    root.write_log(["delivered on a disk", "checked by <anna> & ben"])
    root.commit("as delivered")
    second = root.new_version("nightly import")
    second.commit("import of 3 March")
    side = root.branch("proofreading", "left half")
    side.commit("left half done")
    experiment = root.branch("experiment", "new thresholds")
    merged = repo.refresh().merge([second, side], "left half merged")
    merged.commit("release")
    newest = merged.new_version("for the next release")
    darker = np.maximum(gray_xyz, 40) - 40
    VolumeClient(server_url, newest.uuid, "grayscale").modify_subvolume((0, 0, 0, 0), (1, *darker.shape), darker[None])
    nodes = {"root": root, "second": second, "side": side, "experiment": experiment, "merged": merged, "newest": newest}
    return SimpleNamespace(
        url=server_url,
        uuid=uuid,
        alias=alias,
        gray_zyx=gray_xyz.T,
        darker_zyx=darker.T,
        labels_zyx=labels_xyz.T,
        **{name: node.uuid for name, node in nodes.items()},
    )


@pytest.fixture(scope="session")
def other_repo(server_url, post, contents):
    """Another repo, younger than ``contents``, with one empty volume."""
    alias = f"scratch-{os.getpid()}"
    uuid = post(f"{server_url}/api/repos", {"alias": alias, "description": "nothing of worth"})["root"]
    connect(server_url).repo(uuid).root.create("uint8blk", "lonely")
    return SimpleNamespace(uuid=uuid, alias=alias)


@pytest.fixture
def opened(qtbot, own_settings, contents, other_repo):
    """Opens browsers: ``opened(url, mode)`` returns one whose lists and slice are there, the repo ``contents`` selected."""
    from dvidclient.gui.contents_browser import ContentsBrowser

    def open_browser(url=None, mode="select_existing"):
        browser = ContentsBrowser(url or contents.url, mode)
        qtbot.addWidget(browser)
        browser.show()
        qtbot.waitUntil(lambda: browser.repos.topLevelItemCount() > 1, timeout=WAIT)
        browser.repos.select(contents.uuid)
        browser.instances.select("grayscale")
        settled(qtbot, browser)
        return browser

    return open_browser


def settled(qtbot, browser):
    """Waits until the browser has all it asked for."""
    kinds = ("contents", "graph", "log", "preview")
    qtbot.wait(1)  # what follows from a selection is done in the next turn of the event loop
    timers = (browser._settle, browser.preview._rest)  # after which more is asked
    qtbot.waitUntil(
        lambda: not any(map(browser.background.busy, kinds)) and not any(timer.isActive() for timer in timers),
        timeout=WAIT,
    )


@pytest.fixture
def settle(qtbot):
    """Waits until a browser has all it asked for."""
    return lambda browser: settled(qtbot, browser)


@pytest.fixture
def screenshot():
    """Keeps a picture of a widget in artifacts/."""

    def keep(widget, name):
        ARTIFACTS.mkdir(exist_ok=True)
        path = ARTIFACTS / f"contents-browser-{name}.png"
        assert widget.grab().save(str(path))
        return path

    return keep


class Gate(http.server.ThreadingHTTPServer):
    """Passes GET requests on to a server; those whose path ``holds`` says True of wait until it is opened.

    Where it has a ``token``, it refuses those that come without it. ``tokens`` are those that came.
    """

    daemon_threads = True

    def __init__(self, upstream):
        super().__init__(("127.0.0.1", 0), _GateHandler)
        self.upstream = upstream
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.holds = lambda path: False
        self.fails = lambda path: False
        self.open = threading.Event()
        self.token = None
        self.tokens = set()
        self.asked = []
        self.passed = []

    def handle_error(self, request, client_address):
        """A browser that is closed does not wait for its answer: nothing to be told."""


class _GateHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        gate = self.server
        gate.asked.append(self.path)
        gate.tokens.add(came_with := self.headers.get("Authorization"))
        if gate.holds(self.path):
            gate.open.wait(60)
        if gate.token and came_with != f"Bearer {gate.token}":
            status, data, media = 401, b"this token is not known here", "text/plain"
        elif gate.fails(self.path):
            status, data, media = 500, b"the disk is on fire", "text/plain"
        else:
            answer = urllib3.request("GET", gate.upstream + self.path, redirect=False, decode_content=False)
            status, data, media = answer.status, answer.data, answer.headers.get("Content-Type", "")
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        gate.passed.append(self.path)

    def log_message(self, *args):
        pass


@pytest.fixture
def gate(server_url):
    """A way to the server on which answers are held back."""
    gate = Gate(server_url)
    thread = threading.Thread(target=gate.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield gate
    finally:
        gate.open.set()
        gate.shutdown()
        thread.join()
        gate.server_close()


@pytest.fixture
def answering():
    """Starts servers that are none of DVID: ``answering(answer)`` returns the URL of one; ``answer(path)`` returns bytes."""
    running = []

    def start(answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                data = answer(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()

"""A server to talk to: the one at DVID_URL, or one of our own; and a way to it on which things go wrong."""

import contextlib
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.parse
import uuid
from http import HTTPStatus

import pytest
import urllib3
from tests import laws  # noqa: F401 - for what it does

# Shells start their background jobs with SIGINT ignored, and so would be all that tests start and then stop by it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def admin_token():
    """What gives admin rights on the server."""
    return os.environ.get("DVID_ADMIN_TOKEN", "" if "DVID_URL" in os.environ else uuid.uuid4().hex)


@pytest.fixture(autouse=True)
def no_token_in_the_environment(admin_token, monkeypatch):
    """The clients of the tests are no administrators, unless they say so: those may write to locked nodes."""
    monkeypatch.delenv("DVID_ADMIN_TOKEN", raising=False)


def pytest_generate_tests(metafunc):
    """Modules that name several SERVERS are tested on each of them; elsewhere, and where DVID_URL is set, there is one."""
    servers = getattr(metafunc.module, "SERVERS", None)
    if servers and "server_url" in metafunc.fixturenames and "DVID_URL" not in os.environ:
        metafunc.parametrize("server_url", servers, indirect=True, scope="session")


@pytest.fixture(scope="session")
def server_url(request, tmp_path_factory, admin_token):
    """The URL of a server: of DVID_URL where that is set, elsewhere of one of this session, "dvid" or "hdf5"."""
    if url := os.environ.get("DVID_URL"):
        yield url.rstrip("/")
        return
    kind = getattr(request, "param", "dvid")
    started = {"dvid": running_dvid, "hdf5": running_hdf5}[kind]
    with started(tmp_path_factory.mktemp(kind), admin_token) as url:
        yield url


@contextlib.contextmanager
def running_hdf5(folder, admin_token):
    """The server of an HDF5 file."""
    from mockserver.h5mockserver import H5MockServer, H5MockServerDataFile

    path = folder / "mock_storage.h5"
    with H5MockServerDataFile(path) as file:
        file.add_node("a dataset", uuid.uuid4().hex)
    with H5MockServer(path, ("127.0.0.1", 0)) as server:
        yield server.url.rstrip("/")


@contextlib.contextmanager
def running_dvid(folder, admin_token):
    """The service, on a new store."""
    # The Python with vigra is another one than the server's.
    python = os.environ.get("DVID_PYTHON", sys.executable)
    data = str(folder / "data")
    command = [python, "-u", "-m", "dvid", "serve", "--data", data, "--http", "127.0.0.1:0"]
    environment = {**os.environ, "DVID_ADMIN_TOKEN": admin_token, "DVID_SERVER_ALLOW_LABELMAP_SPLIT": "true"}
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    try:
        printed = []
        for line in server.stdout:
            printed.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            pytest.fail(f"the server printed no URL: {''.join(printed)}{(folder / 'log').read_text()}")
        yield found[0]
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()


@pytest.fixture(scope="session")
def post(admin_token):
    """Sends a JSON document to a URL, as an administrator; returns the answer's."""

    def answer_to(url, document):
        query = urllib.parse.urlencode({"admintoken": admin_token} if admin_token else {})
        answer = urllib3.request("POST", f"{url}?{query}", body=json.dumps(document))
        assert answer.status == 200, answer.data
        return answer.json()

    return answer_to


@pytest.fixture(scope="session")
def node(server_url, post):
    """UUID of the root of a new repository."""
    return post(f"{server_url}/api/repos", {"alias": "dvidclient", "description": "tests of the client"})["root"]


@pytest.fixture
def name():
    """A name that no volume has yet."""
    return f"volume-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def counts_channels(server_url):
    """Whether the server has volumes of any number of channels."""
    help_text = urllib3.request("GET", f"{server_url}/api/help/uint8blk").data.decode()
    return re.search(r"\bChannels\b", help_text) is not None


PASSED_ON = frozenset({"authorization", "content-type", "idempotency-key"})


class Proxy(http.server.ThreadingHTTPServer):
    """Passes requests on to a server.

    ``faults`` is asked before each: given method and path, it answers None (pass on), ``"cut"`` (half an answer, then the
    connection ends), ``"hang up"`` (no answer), a status, or ``(status, headers)``.
    """

    daemon_threads = True

    def __init__(self, upstream):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.pool = urllib3.PoolManager(maxsize=16, retries=False)
        self.faults = lambda method, path: None
        self.phrase = ""  # of faults that are a status; default: what the status is called
        self.seen = []
        self.connections = 0
        self.lock = threading.Lock()

    @property
    def port(self):
        return self.server_address[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def asked(self, part):
        """The requests, method and path, whose path holds ``part``."""
        return [(method, path) for method, path, _ in self.seen if part in path]

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._pass_on("GET")

    def do_POST(self):
        self._pass_on("POST")

    def _pass_on(self, method):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        proxy = self.server
        with proxy.lock:
            proxy.seen.append((method, self.path, dict(self.headers)))
            fault = proxy.faults(method, urllib.parse.unquote(self.path))
        if fault == "hang up":
            self.close_connection = True
            return
        if fault is not None and fault != "cut":
            status, headers = fault if isinstance(fault, tuple) else (fault, {})
            self._answer(status, f"as told: {proxy.phrase or HTTPStatus(status).phrase}".encode(), headers)
            return
        headers = {key: value for key, value in self.headers.items() if key.lower() in PASSED_ON}
        answer = proxy.pool.request(
            method, proxy.upstream + self.path, body=body or None, headers=headers, redirect=False
        )
        if fault == "cut":
            self.send_response(answer.status)
            self.send_header("Content-Length", str(max(1, len(answer.data))))
            self.end_headers()
            self.wfile.write(answer.data[: len(answer.data) // 2])
            self.close_connection = True
        else:
            self._answer(answer.status, answer.data, {"Content-Type": answer.headers.get("Content-Type", "")})

    def _answer(self, status, data, headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def proxy(server_url):
    """A way to the server on which things go wrong as told."""
    proxy = Proxy(server_url)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
        proxy.pool.clear()

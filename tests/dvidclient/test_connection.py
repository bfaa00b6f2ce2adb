import concurrent.futures
import gc
import os
import pickle
import threading

import pytest
from tests.waiting import eventually
from urllib3.connection import HTTPConnection

from dvidclient import answers
from dvidclient.connection import Connection, base_url, quoted
from dvidclient.errors import BadArgument, NoAnswer, ServerRefused

SERVERS = ["dvid", "hdf5"]


def first(faults):
    """Faults that come one after the other, then none."""
    left = iter(faults)
    return lambda method, path: next(left, None)


@pytest.mark.parametrize(
    ("hostname", "url"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("http://localhost:8000/", "http://localhost:8000"),
        ("https://emdata.example.org/dvid", "https://emdata.example.org/dvid"),
        ("[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_server_is_named_by_host_and_port_or_url(hostname, url):
    assert base_url(hostname) == url


@pytest.mark.parametrize(
    "hostname", ["", "ftp://host", "host:port", "http://", "host?x=1", "user@host", None, 8000, "host:99999"]
)
def test_what_is_no_address_is_refused(hostname):
    with pytest.raises(BadArgument, match=r"^hostname: expected"):
        base_url(hostname)


def test_names_with_odd_characters_stay_one_segment_of_the_path():
    assert quoted("a/b c?d#ä", "data_name") == "a%2Fb%20c%3Fd%23%C3%A4"
    assert quoted("abc:master~1", "uuid") == "abc:master~1"
    assert [quoted(name, "key") for name in (".", "..", "a.b")] == ["%2E", "%2E%2E", "a.b"]
    for name in ("", "\ud800"):
        with pytest.raises(BadArgument, match="data_name: expected"):
            quoted(name, "data_name")


def test_a_request_that_breaks_on_the_way_is_sent_again(proxy):
    proxy.faults = first(["hang up", "cut", 503])
    answer = Connection(proxy.url).get_json("/api/server/info", "asking")
    assert "Datastore Version" in answer
    assert len(proxy.seen) == 4


def test_a_change_whose_answer_is_lost_takes_effect_once_where_the_server_heeds_keys(proxy, node):
    connection = Connection(proxy.url)
    if not connection.heeds_keys:
        pytest.skip("this server does not heed Idempotency-Key")
    proxy.faults = first(["cut"])
    connection.tell(f"/api/node/{node}/log", "writing", document={"log": ["said once"]})
    lines = connection.get_json(f"/api/node/{node}/log", "asking")["log"]
    assert sum(line.endswith("said once") for line in lines) == 1
    assert len([method for method, _ in proxy.asked("/log") if method == "POST"]) == 2


def test_a_change_is_sent_once_to_a_server_that_heeds_no_keys(proxy):
    connection = Connection(proxy.url)
    proxy.faults = lambda method, path: 404 if path == "/api/help" else "hang up"
    with pytest.raises(NoAnswer, match=r"creating failed: POST http.*/api/repos: no whole answer.*not known whether"):
        connection.tell("/api/repos", "creating", document={})
    assert len(proxy.asked("/api/repos")) == 1


def test_a_server_that_did_not_say_whether_it_heeds_keys_is_asked_again(proxy, server_url):
    connection = Connection(proxy.url)
    proxy.faults = first(["hang up", 503])
    assert [connection.heeds_keys for _ in range(3)] == [False, False, Connection(server_url).heeds_keys]
    assert len(proxy.asked("/api/help")) == 3


def test_a_change_that_reached_no_server_is_sent_again():
    with pytest.raises(NoAnswer, match="tried 3 times") as failed:
        Connection("127.0.0.1:1", retries=2).tell("/api/repos", "creating", document={})
    assert "not known" not in str(failed.value)


def test_a_refusal_is_not_asked_again_and_says_what_the_server_said(proxy):
    proxy.faults = first([403])
    with pytest.raises(ServerRefused) as refused:
        Connection(proxy.url).get_json("/api/server/info", "asking")
    error = refused.value
    assert (error.method, error.url, error.status) == ("GET", f"{proxy.url}/api/server/info", 403)
    assert error.answer == "as told: Forbidden"
    assert str(error) == f"asking failed: GET {proxy.url}/api/server/info: status 403: as told: Forbidden"
    assert len(proxy.seen) == 1


def test_tries_are_limited(proxy):
    proxy.faults = lambda method, path: (503, {"Retry-After": "0"})
    with pytest.raises(ServerRefused, match="status 503"):
        Connection(proxy.url, retries=2).get_json("/api/server/info", "asking")
    assert len(proxy.seen) == 3


def test_a_server_that_is_not_there_is_an_error_that_names_it():
    with pytest.raises(
        NoAnswer, match=r"asking failed: GET http://127\.0\.0\.1:1/api/load: no whole answer: .*tried 2 times"
    ):
        Connection("127.0.0.1:1", retries=1).get_json("/api/load", "asking")


def test_a_server_that_stops_answering_is_given_up_after_the_timeout(proxy):
    with proxy.lock, pytest.raises(NoAnswer, match="timed out"):
        Connection(proxy.url, retries=0, timeout=0.2).get_json("/api/server/info", "asking")


def test_a_redirection_is_not_followed(proxy):
    proxy.faults = first([(302, {"Location": f"{proxy.url}/elsewhere"})])
    with pytest.raises(ServerRefused, match="status 302"):
        Connection(proxy.url, token="secret").get_json("/api/server/info", "asking")
    assert len(proxy.seen) == 1


def test_an_answer_that_is_no_json_object_is_an_error(proxy):
    with pytest.raises(NoAnswer, match=r"asking failed: GET http.*/api/help: no whole answer: expected JSON, got"):
        Connection(proxy.url, retries=0).get_json("/api/help", "asking")


@pytest.mark.parametrize("asked", [Connection.get_text, Connection.get_bytes, Connection.ask])
def test_a_part_of_an_answer_is_none(proxy, asked):
    proxy.faults = lambda method, path: "cut"
    with pytest.raises(NoAnswer, match="IncompleteRead"):
        asked(Connection(proxy.url, retries=0), "/api/server/info", "asking")


def test_requests_say_who_asks(proxy, monkeypatch):
    monkeypatch.setenv("DVID_ADMIN_TOKEN", "an admin's, which would lift locks")
    Connection(proxy.url).get_json("/api/server/info", "asking")
    Connection(proxy.url, token="given").get_json("/api/server/info", "asking")
    headers = [headers for _, _, headers in proxy.seen]
    assert all(sent["User-Agent"].startswith("dvidclient") for sent in headers)
    assert [sent.get("Authorization") for sent in headers] == [None, "Bearer given"]


def test_one_connection_serves_many_requests(proxy):
    connection = Connection(proxy.url)
    for _ in range(5):
        connection.get_json("/api/server/info", "asking")
    assert proxy.connections == 1


def at_once(connection, count):
    """Asks from so many threads, all at the same time."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        asked = [pool.submit(connection.get_json, "/api/server/info", "asking") for _ in range(count)]
        return [future.result() for future in asked]


def test_as_many_connections_are_open_as_threads_ask_and_all_are_used_again(proxy):
    together = threading.Barrier(12)
    connection = Connection(proxy.url)
    gathered = connection._pool.request

    def gather(*args, **kwargs):
        response = gathered(*args, **kwargs)
        together.wait(60)  # no answer is read before all were asked for
        return response

    connection._pool.request = gather
    for _ in range(3):
        at_once(connection, 12)
    assert proxy.connections == 12


def test_requests_beyond_the_connections_wait_for_their_turn(proxy):
    connection = Connection(proxy.url, connections=2)
    assert len(at_once(connection, 12)) == 12
    assert proxy.connections <= 2


def test_each_request_gives_its_turn_back_however_it_ends(proxy):
    connection = Connection(proxy.url, connections=1, retries=0, token="of-mine")
    proxy.phrase = "this needs an admintoken " + "x" * 10_000  # longer than what is read of it
    for fault in ("hang up", "cut", 403, 503, (302, {"Location": "/"}), 200):
        proxy.faults = lambda method, path, fault=fault: fault
        with pytest.raises((NoAnswer, ServerRefused)):
            connection.get_json("/api/server/info", "asking")
    proxy.faults = lambda method, path: None
    with pytest.raises(ZeroDivisionError):
        connection.request("GET", "/api/server/info", what="asking", receive=lambda response: 1 / 0)
    assert connection.heeds_keys in (False, True)
    assert "Datastore Version" in connection.get_json("/api/server/info", "asking")


def test_a_connection_that_was_closed_has_none_open_and_opens_new_ones(proxy):
    with Connection(proxy.url) as connection:
        connection.get_json("/api/server/info", "asking")
        opened = [link for link in gc.get_objects() if isinstance(link, HTTPConnection) and link.port == proxy.port]
        assert [link.is_connected for link in opened] == [True]
    assert [link.is_connected for link in opened] == [False]
    connection.get_json("/api/server/info", "asking")
    assert proxy.connections == 2
    connection.close()


def test_a_connection_is_closed_while_threads_wait_for_their_turn(proxy):
    connection = Connection(proxy.url, connections=1)
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        with proxy.lock:  # until here nobody is answered
            asked = [threads.submit(connection.get_json, "/api/server/info", "asking") for _ in range(4)]
            eventually(lambda: proxy.connections)
            connection.close()
        assert all("Datastore Version" in future.result(60) for future in asked)
    connection.close()


def test_a_token_goes_where_the_server_says_that_it_wants_it_and_never_into_messages(proxy):
    proxy.faults = first([400])
    connection = Connection(proxy.url, token="secret-of-mine")
    proxy.phrase = "this needs an admintoken"
    assert "Datastore Version" in connection.get_json("/api/server/info", "asking")
    assert [path for _, path in proxy.asked("/server/info")] == [
        "/api/server/info",
        "/api/server/info?admintoken=secret-of-mine",
    ]
    proxy.faults = lambda method, path: 403
    with pytest.raises(ServerRefused) as refused:
        connection.get_json("/api/server/info", "asking")
    assert "secret-of-mine" not in str(refused.value)


def test_a_token_goes_there_for_all_threads_that_were_refused_at_the_same_time(proxy):
    together = threading.Barrier(4)

    def refuse_what_has_none(method, path):
        return None if "admintoken=" in path else 400

    proxy.faults = refuse_what_has_none
    proxy.phrase = "this needs an admintoken"
    connection = Connection(proxy.url, token="secret-of-mine")
    request = connection._pool.request

    def wait_for_the_others(*args, **kwargs):
        answer = request(*args, **kwargs)
        if answer.status == 400:
            together.wait(60)
        return answer

    connection._pool.request = wait_for_the_others
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(connection.get_json, "/api/server/info", "asking") for _ in range(4)]
        assert all("Datastore Version" in one.result() for one in asked)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"token": "secret\n"}, "token: expected a string of ASCII"),
        ({"token": "sécret"}, "token: expected"),
        ({"token": b"secret"}, "token: expected"),
        ({"timeout": 0}, "timeout: expected seconds above 0, got 0"),
        ({"timeout": None}, "timeout: expected"),
        ({"retries": -1}, "retries: expected an integer from 0, got -1"),
        ({"connections": 0}, "connections: expected an integer from 1"),
    ],
)
def test_what_no_connection_can_have_is_refused(options, said):
    with pytest.raises(BadArgument, match=said) as refused:
        Connection("localhost:8000", **options)
    assert "cret" not in str(refused.value)


def test_a_text_without_end_is_an_error_and_not_cut_off(proxy, monkeypatch):
    monkeypatch.setattr(answers, "LARGEST_TEXT", 100)
    connection = Connection(proxy.url, retries=0)
    for call in (connection.get_text, connection.get_json):
        with pytest.raises(NoAnswer, match="expected at most 100 bytes"):
            call("/api/server/info", "asking")


def test_an_answer_that_is_too_long_is_not_asked_for_again(proxy):
    with pytest.raises(
        NoAnswer, match=r"asking failed: GET .*: no whole answer: expected at most 10 bytes, the server"
    ):
        Connection(proxy.url).get_bytes("/api/server/info", "asking", most=10)
    assert len(proxy.seen) == 1


def test_a_help_text_without_end_is_not_read_to_find_out_whether_keys_are_heeded(proxy, monkeypatch):
    monkeypatch.setattr(answers, "LARGEST_TEXT", 10)
    assert not Connection(proxy.url).heeds_keys


def test_what_a_server_adds_to_an_answer_that_nobody_reads_is_left_there(proxy, monkeypatch):
    connection = Connection(proxy.url)
    connection.request("GET", "/api/help", what="asking", receive=answers.nothing)
    connection.request("GET", "/api/help", what="asking", receive=answers.nothing)
    assert proxy.connections == 1
    monkeypatch.setattr(answers, "LARGEST_REST", 10)
    for _ in range(2):
        connection.request("GET", "/api/help", what="asking", receive=answers.nothing)
    assert proxy.connections == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_is_forked_off_does_not_answer_with_what_another_one_asked_for(proxy):
    connection = Connection(proxy.url)
    connection.get_json("/api/server/info", "asking")
    child = os.fork()
    if not child:
        failed = 1
        try:
            failed = "Datastore Version" not in connection.get_json("/api/server/info", "asking")
        finally:
            os._exit(failed)  # without what pytest does at the end
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    connection.get_json("/api/server/info", "asking")
    assert proxy.connections == 2  # one of each process


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("localhost:8000", True),
        ("http://127.0.0.1:80/dvid", True),
        ("http://127.9.8.7:1", True),
        ("http://[::1]:8000", True),
        ("emdata.example.org", False),
        ("127.0.0.1.example.org", False),
    ],
)
def test_a_server_of_this_machine_is_known_by_its_address(url, local):
    assert Connection(url).is_local is local


def test_a_connection_sent_to_another_process_is_one_for_all_that_is_sent_there():
    connection = Connection("localhost:8000", token="secret", user="ann", app="test", timeout=7, retries=1)
    first, second = (pickle.loads(pickle.dumps(connection)) for _ in range(2))
    assert first is second
    assert first is not connection
    assert (first.base_url, first.timeout, first.retries) == ("http://localhost:8000", 7, 1)
    assert first._headers == connection._headers
    assert pickle.loads(pickle.dumps(Connection("localhost:8000", token="other"))) is not first

"""Promises of the kinds of setting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvid.config import values
from dvid.config.values import Address


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:8000", Address("127.0.0.1", 8000), True),
        (":8000", Address("127.0.0.1", 8000), True),
        ("localhost:0", Address("localhost", 0), True),
        ("127.1.2.3:65535", Address("127.1.2.3", 65535), True),
        ("0.0.0.0:8000", Address("0.0.0.0", 8000), False),
        ("[::1]:8000", Address("::1", 8000), True),
        ("[::]:8000", Address("::", 8000), False),
        ("dvid.example.org:80", Address("dvid.example.org", 80), False),
    ],
)
def test_an_address_is_read_and_written(text, address, loopback):
    assert values.ADDRESS.parse(text) == address
    assert address.is_loopback is loopback
    assert values.ADDRESS.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8000",
        "host",
        "host:",
        "host:x",
        "host:65536",
        "host:-1",
        "host:+1",
        "host:٣",
        "::1:8000",
        "[::1]",
        "[x]:1",
        "1.2.3:1",
        "256.0.0.1:1",
        "a b:1",
        "a\n:1",
        "http://host:1",
        "-a:1",
        "host:1\x00",
        "a" * 64 + ":1",
        8000,
        None,
    ],
)
def test_a_bad_address_is_refused(text):
    with pytest.raises(ValueError):
        values.ADDRESS.parse(text)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (1, 1),
        ("1", 1),
        ("12 B", 12),
        ("4GB", 4 * 10**9),
        ("512 MiB", 512 * 2**20),
        ("1.5 GiB", 3 * 2**29),
        ("2 tib", 2 * 2**40),
        ("1 PB", 10**15),
        (" 7 kB ", 7000),
        (2**63 - 1, 2**63 - 1),
        ("0.1 kB", 100),
    ],
)
def test_a_size_is_a_number_of_bytes(written, size):
    assert values.size().parse(written) == size


@pytest.mark.parametrize(
    "written", [0, -1, 2**63, True, 1.5, "", "GB", "1 XB", "-1 GB", "1e3", "9999999 PB", "0 GB", [1], "1,5 GB"]
)
def test_a_bad_size_is_refused(written):
    with pytest.raises(ValueError):
        values.size().parse(written)


@given(st.integers(1, 10**6), st.sampled_from(["B", "kB", "MB", "GB", "KiB", "MiB", "GiB"]))
def test_the_unit_of_a_size_may_be_written_in_any_case_with_or_without_a_space(number, unit):
    forms = {
        values.size().parse(f"{number}{space}{u}") for space in ("", " ") for u in (unit, unit.lower(), unit.upper())
    }
    assert len(forms) == 1


@pytest.mark.parametrize(
    ("written", "origins"),
    [
        ([], ()),
        (["*"], ("*",)),
        (["https://Neuroglancer-Demo.appspot.com/"], ("https://neuroglancer-demo.appspot.com",)),
        (["http://localhost:8080", "example.org", "example.org"], ("http://localhost:8080", "example.org")),
        (["http://[::1]:8080"], ("http://[::1]:8080",)),
    ],
)
def test_origins_are_read(written, origins):
    assert values.ORIGINS.parse(written) == origins


@pytest.mark.parametrize(
    "written",
    [
        "*",
        [""],
        ["https://"],
        ["https://a/b"],
        ["ftp://a"],
        ["https://*.a"],
        ["a:99999"],
        ["http://[x]"],
        ["a\r\nb"],
        [1],
        ["..."],
    ],
)
def test_bad_origins_are_refused(written):
    with pytest.raises(ValueError):
        values.ORIGINS.parse(written)


@pytest.mark.parametrize("written", ["/etc/passwd", "../x", "a/../../x", "a\0", 1])
def test_the_default_file_stays_inside_the_web_client(written):
    with pytest.raises(ValueError):
        values.INNER_FILE.parse(written)


@pytest.mark.parametrize("written", ["//evil.example", "/\\evil.example", "/a\r\nSet-Cookie: x"])
def test_a_redirect_stays_on_this_server(written):
    with pytest.raises(ValueError):
        values.URL_PATH.parse(written)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(json_like)
def test_any_value_is_shown_on_one_short_line(value):
    text = values.shown(value)
    assert len(text.splitlines()) <= 1
    assert text.isprintable()
    assert len(text) < 6000

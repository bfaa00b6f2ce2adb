import concurrent.futures
import io
import sys

import pytest

from dvidclient.errors import BadArgument
from dvidclient.progress import Bar, Meter


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_parts_of_several_threads_are_counted_one_by_one():
    told = []
    meter = Meter(1000, "reading", lambda done, total: told.append((done, total)))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(meter.add, [10] * 100))
    assert told == [(10 * part, 1000) for part in range(1, 101)]


@pytest.mark.parametrize("progress", [None, False])
def test_nothing_is_told_where_nobody_asks(progress, capsys):
    Meter(10, "reading", progress).add(10)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal_ends_with_all_bytes_and_a_new_line():
    terminal = Terminal()
    bar = Bar("reading em", terminal)
    for done in range(0, 2_000_001, 1000):
        bar(done, 2_000_000)
    lines = terminal.getvalue().split("\r")
    assert lines[-1].startswith("reading em [##############################] 100%  2.0 of 2.0 MB")
    assert terminal.getvalue().count("\n") == 1
    assert len(lines) < 2000


def test_a_bar_is_as_long_as_what_is_done():
    line = Bar("writing em", Terminal()).line(25, 100, 0.0)
    assert line == f"writing em [{'#' * 7}{' ' * 23}]  25%  0.0 of 0.0 MB"
    assert "100%" in Bar("reading nothing", Terminal()).line(0, 0, 1.0)


def test_a_file_gets_no_bar():
    file = io.StringIO()
    Bar("reading em", file)(10, 10)
    assert file.getvalue() == ""


def test_what_cannot_be_told_is_refused():
    with pytest.raises(BadArgument, match="expected True or a function of two integers, got 'yes'"):
        Meter(1, "reading", "yes")


def test_a_notebook_has_a_bar_too(monkeypatch):
    page = io.StringIO()
    Bar("reading", page)(10, 10)
    assert page.getvalue() == ""
    monkeypatch.setitem(sys.modules, "ipykernel", object())
    Bar("reading", page)(10, 10)
    assert "100 %" in page.getvalue().replace("%", " %")

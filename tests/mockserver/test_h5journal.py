import io
import itertools
import json
import os
import zlib

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mockserver import h5journal
from mockserver.h5journal import JournaledFile, is_pending, journal_path, recover

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 30_000), st.integers(1, 12_000)),
        st.tuples(st.just("truncate"), st.integers(0, 30_000), st.just(0)),
        st.tuples(st.just("commit"), st.just(0), st.just(0)),
        st.tuples(st.just("roll back"), st.just(0), st.just(0)),
        st.tuples(st.just("open anew"), st.just(0), st.just(0)),
    ),
    max_size=30,
)


def opened(path):
    return os.open(path, os.O_RDWR | os.O_CREAT)


@settings(max_examples=150)
@given(steps=STEPS)
def test_what_is_written_is_read_and_only_what_is_committed_stays(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("journal") / "file"
    descriptor = opened(path)
    file = JournaledFile(descriptor, journal_path(path))
    kept = now = b""
    try:
        for number, (step, at, size) in enumerate(steps):
            if step == "write":
                data = bytes([number + 1]) * size
                file.seek(at)
                assert file.write(data) == size
                now = now[:at].ljust(at, b"\0") + data + now[at + size :]
            elif step == "truncate":
                # Growing is what HDF5 does with it; what is cut off and then read again may be anything until then.
                file.truncate(max(at, len(now)))
                now = now.ljust(at, b"\0")
            elif step == "commit":
                file.commit()
                kept = now
            elif step == "roll back":
                file.roll_back()
                now = kept
            else:
                file.close()
                file = JournaledFile(descriptor, journal_path(path))
                now = kept
            assert file.seek(0, io.SEEK_END) == len(now)
            buffer = bytearray(len(now) + 10)
            file.seek(0)
            file.readinto(buffer)
            assert bytes(buffer[: len(now)]) == now
        assert path.read_bytes()[: len(kept)] == kept
        file.close()
        assert path.read_bytes() == kept
        assert not journal_path(path).exists()
    finally:
        os.close(descriptor)


def change(path, descriptor):
    """Changes a file in many places: new chunks and old ones, a new dataset, an attribute, a group that is removed."""
    raw = JournaledFile(descriptor, journal_path(path))
    file = h5py.File(raw, "r+")
    file["a"][...] = 2
    file["a"].resize((60, 60))
    file["a"][50:] = 2
    file.create_dataset("b", data=np.full(5000, 2))
    file.attrs["number"] = 2
    del file["old"]
    file.flush()
    raw.commit()


def state(path):
    """1 before the change, 2 after it; an exception where it is neither."""
    with h5py.File(path) as file:
        number = int(file.attrs["number"])
        assert file["a"].shape == ((40, 40) if number == 1 else (60, 60))
        expected = np.zeros(file["a"].shape, int)
        expected[:40, :40] = number
        expected[50:] = number
        np.testing.assert_array_equal(file["a"][...], expected)
        assert ("b" in file, "old" in file) == (number == 2, number == 1)
        if number == 2:
            assert (file["b"][...] == 2).all()
        return number


def test_a_file_is_as_before_or_as_after_a_change_wherever_its_program_is_killed(tmp_path):
    fresh = tmp_path / "fresh.h5"
    with h5py.File(fresh, "w") as file:
        file.create_dataset("a", data=np.ones((40, 40), int), chunks=(20, 20), maxshape=(None, None))
        file.create_group("old/deep")
        file.attrs["number"] = 1
    seen = set()
    path = tmp_path / "file.h5"
    for last in range(10_000):
        path.write_bytes(fresh.read_bytes())
        journal_path(path).unlink(missing_ok=True)
        # In a process of its own, as the HDF5 library cannot forget a file that it could not close.
        child = os.fork()
        if child == 0:
            _die_after(last)
            change(path, opened(path))
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        descriptor = opened(path)
        recover(descriptor, journal_path(path))
        os.close(descriptor)
        assert not journal_path(path).exists()
        seen.add(state(path))
        if code == 0:
            break
        assert code == 9
    assert seen == {1, 2}
    assert last > 10


def _die_after(last):
    """Ends this process in the middle of its change number ``last`` to any file, with half of it done if it can be halved."""
    write, truncate, count = os.pwrite, os.ftruncate, itertools.count(1)

    def dying_write(descriptor, data, at):
        if next(count) > last:
            write(descriptor, data[: len(data) // 2], at)
            os._exit(9)
        return write(descriptor, data, at)

    def dying_truncate(descriptor, size):
        if next(count) > last:
            os._exit(9)
        truncate(descriptor, size)

    os.pwrite, os.ftruncate = dying_write, dying_truncate


@pytest.fixture
def pending(tmp_path, monkeypatch):
    """A file of 9000 times ``a`` with a complete journal that makes it 9000 times ``b``."""
    path = tmp_path / "file"
    path.write_bytes(b"a" * 9000)
    descriptor = opened(path)
    file = JournaledFile(descriptor, journal_path(path))
    file.write(b"b" * 9000)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(h5journal, "_apply", full)
        with pytest.raises(OSError, match="No space"):
            file.commit()
    # Nothing that the HDF5 library still writes may get into the journal.
    with pytest.raises(OSError, match="open it anew"):
        file.write(b"c")
    with pytest.raises(OSError, match="open it anew"):
        file.roll_back()
    file.close()
    os.close(descriptor)
    return path


def test_a_change_that_could_not_be_copied_is_copied_when_the_file_is_opened_next(pending):
    assert pending.read_bytes() == b"a" * 9000
    assert is_pending(journal_path(pending))
    descriptor = opened(pending)
    JournaledFile(descriptor, journal_path(pending)).close()
    os.close(descriptor)
    assert pending.read_bytes() == b"b" * 9000
    assert not journal_path(pending).exists()


@pytest.mark.parametrize("at", [0, 5000, 12288 + 3, -30, -20, -12, -1])
def test_a_journal_with_one_wrong_byte_is_dropped(pending, at):
    journal = journal_path(pending)
    data = bytearray(journal.read_bytes())
    data[at] ^= 0x10
    journal.write_bytes(data)
    descriptor = opened(pending)
    assert not recover(descriptor, journal)
    os.close(descriptor)
    assert pending.read_bytes() == b"a" * 9000
    assert not journal.exists()


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 4096, 12288, -1])
def test_a_journal_that_was_cut_off_is_dropped(pending, size):
    journal = journal_path(pending)
    journal.write_bytes(journal.read_bytes()[:size])
    assert not is_pending(journal)


def completed(pages, size):
    """The bytes of a journal of empty pages."""
    content = bytes(h5journal.PAGE) * len(pages)
    index = json.dumps({"pages": pages, "before": 0, "size": size}).encode()
    line = json.dumps({"crc": zlib.crc32(content + index)}).encode() + b"\n" + index
    return content + line + len(line).to_bytes(8, "little") + h5journal.MAGIC


@pytest.mark.parametrize(("pages", "size"), [([2**60], 1), ([0], 2**63), ([-1], 1), ([0], -1)])
def test_a_journal_that_someone_made_up_is_dropped(tmp_path, pages, size):
    journal = journal_path(tmp_path / "file")
    journal.write_bytes(completed([0], 1))
    assert is_pending(journal)
    journal.write_bytes(completed(pages, size))
    assert not is_pending(journal)


def test_a_journal_is_in_its_folder_for_good_before_a_change_is_made(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"a" * 100)
    descriptor = opened(path)
    synced = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.path.realpath(f"/proc/self/fd/{number}")))
    file = JournaledFile(descriptor, journal_path(path))
    file.write(b"b")
    assert synced == [os.path.realpath(tmp_path)]
    file.close()
    os.close(descriptor)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_file_that_was_left_behind_changes_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a" * 100)
    descriptor = opened(path)
    left = JournaledFile(descriptor, journal_path(path))
    left.seek(100)
    left.write(b"b")
    other = JournaledFile(descriptor, journal_path(path))
    other.seek(0, io.SEEK_END)
    other.write(b"c" * 50)
    other.commit()
    size = path.stat().st_size
    del left
    assert path.stat().st_size == size
    other.close()
    with pytest.raises(ValueError, match="closed"):
        other.write(b"d")
    os.close(descriptor)

"""A server that is killed while labels are loaded and edited loses nothing that it has answered, and leaves nothing half done."""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from tests.conftest import TOKEN, Serve
from tests.crash.label_load import LabelLoad
from tests.crash.load import Http
from tests.crash.test_kill import end_suddenly, settle
from tests.waiting import eventually

from dvid.cli.verify import check_content, check_instance
from dvid.storage import open_store
from dvid.versions import layout
from dvid.versions.verify import verify
from dvid.versions.work import busy_instances

ROUNDS = 12
ROUNDS_OF_A_LOAD = 6
"""Then a new repo takes its place: the mutation logs that are read after each kill stay short."""


def assert_labels_are_sound(data: Path) -> None:
    """Read all of a store: checksums, records, references, and whether labels agree at every version."""
    store = open_store(str(data), read_only=True)
    try:
        problems = [str(problem) for problem in verify(store, check_content, check_instance=check_instance)]
    finally:
        store.close()
    assert not problems, problems[:10]


def has_work(data: Path) -> bool:
    """Whether lower resolutions wait to be made."""
    store = open_store(str(data), read_only=True)
    try:
        with store.snapshot() as snapshot:
            tables = [layout.table_prefix(number, layout.WORK) for number in busy_instances(snapshot)]
            return any(True for table in tables for _ in snapshot.scan(table, layout.after(table)))
    finally:
        store.close()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_answered_edit_of_labels_survives_kills_and_no_other_is_there_in_part(
    tmp_path: Path, serve: Serve
) -> None:
    seed = int(os.environ.get("DVID_TEST_SEED") or secrets.randbits(32))
    random = Random(seed)
    data = tmp_path / "data"
    loads: list[LabelLoad] = []
    killed: Counter[str] = Counter()
    waited = 0
    server = serve(data)
    try:
        for round_number in range(ROUNDS):
            http = Http(server.url, TOKEN)
            if round_number % ROUNDS_OF_A_LOAD == 0:
                loads.append(LabelLoad(http, random))
            load = loads[-1]
            before = load.answers()
            running = load.start(server.url, TOKEN)
            if round_number % ROUNDS_OF_A_LOAD == 0:  # each writer comes to something, however slow the machine is
                eventually(lambda load=load: all(writer.answers for writer in load.writers))
            else:
                eventually(lambda load=load, before=before: load.answers() > before)
            time.sleep(random.uniform(0, 0.5))
            how = random.choices(["all", "worker", "main"], [6, 2, 1])[0]
            end_suddenly(server, how, random)
            killed[how] += 1
            running.join()
            http.close()
            if how == "worker":
                settle(server, load)  # type: ignore[arg-type]
            else:
                server.kill()
                assert_labels_are_sound(data)  # with what waits to be made
                waited += has_work(data)
                server = serve(data)
            http = Http(server.url, TOKEN)
            load.judge(http)
            load.judge_scales(http)
            eventually(lambda http=http, load=load: not load.waiting(http), 120)
            load.judge_scales(http)
            http.close()
        http = Http(server.url, TOKEN)
        for load in loads:
            load.judge(http)
        http.close()
        assert server.stop() == 0
        assert_labels_are_sound(data)
        assert waited, "there was nothing to be made after any of the kills"
        for load in loads:
            assert all(editor.answered for editor in load.editors)
            assert all(writer.answers for writer in load.writers)
    except BaseException:
        print(f"DVID_TEST_SEED={seed} repeats the choices of this run; killed until now: {dict(killed)}")
        raise

"""2, 8 and 64 simulated ranks: what they send does not depend on their number, and they train as one process does.

The simulation replaces global state of torch.distributed, and threads cannot be ended: it has a process of its own.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.communication import RESULTS, table, worlds_table

ROOT = Path(__file__).resolve().parents[2]
WORLDS = ("2", "8", "64")
PAGE = (ROOT / "docs" / "distributed.md").read_text()
RUN = json.loads(RESULTS.read_text())


@pytest.fixture(scope="module")
def counted():
    command = [sys.executable, "-m", "tests.distributed.many_ranks", *WORLDS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def by_kind(collectives, *, without=()):
    return {kind: cell for kind, cell in collectives.items() if kind not in without}


def test_weights_are_those_of_one_process(counted):
    for world in WORLDS:
        for name, row in counted["worlds"][world].items():
            assert row["distance"] < 1e-14, (world, name)


def test_the_number_of_collectives_does_not_depend_on_the_number_of_ranks(counted):
    numbers = [
        {name: {kind: n for kind, (n, _) in row["collectives"].items()} for name, row in counted["worlds"][w].items()}
        for w in WORLDS
    ]
    assert numbers[0] == numbers[1] == numbers[2]


@pytest.mark.parametrize("world", WORLDS)
def test_bytes_of_a_step(counted, world):
    rows = {name: row["collectives"] for name, row in counted["worlds"][world].items()}
    plain = rows["ddp plain"]
    assert rows["ddp sam, rank"] == plain
    assert rows["ddp sam, batch"] == {kind: [2 * n, 2 * b] for kind, (n, b) in plain.items()}
    assert rows["ddp gsam, rank"] == {"all_reduce_after_backward": [1, plain["all_reduce"][1] + 8 * 4]}
    assert by_kind(rows["fsdp sam, batch"], without=["scalar"]) == {
        kind: [2 * n, 2 * b] for kind, (n, b) in rows["fsdp plain"].items()
    }


def test_the_committed_table_is_what_is_counted_now(counted):
    for part, methods in counted["table"].items():
        for name, collectives in methods.items():
            committed = RUN["worlds"]["2"][part][name]
            assert by_kind(collectives, without=["scalar"]) == by_kind(committed, without=["scalar"]), (part, name)
            # single numbers may become fewer, but not more
            number, sent = collectives.get("scalar", [0, 0])
            most, most_sent = committed.get("scalar", [0, 0])
            assert number <= most and sent <= most_sent


def between(mark):
    return PAGE.split(f"<!-- {mark} -->\n")[1].split(f"<!-- end of {mark} -->")[0].strip()


def test_the_page_shows_the_committed_run():
    first = next(iter(RUN["worlds"]))
    assert set(RUN["worlds"]) == set(WORLDS)
    assert between("table") == table(RUN["worlds"][first])
    assert between("worlds") == worlds_table(RUN["worlds"])
    assert f"On {first} ranks:" in PAGE
    model = RUN["model"]
    for figure in (f"{model['gradient_bytes']:,} bytes of", f"{model['parameters']} tensors", model["buffer_bytes"]):
        assert str(figure) in PAGE.replace("\n", " ")

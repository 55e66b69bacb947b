"""The pool: a failure costs one cell, a lost process too and nobody else, and nothing outlives the study."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from contextlib import closing

import pytest

from samnesia.perturb.errors import ConfigurationError, SamnesiaWarning, TrainingCollapsedWarning
from samnesia.study.engine.jobs import Job, do_packed, pack
from samnesia.study.engine.pool import Here, Processes
from samnesia.study.engine.store import Finished, find_cell
from tests.study.tiny_study import Draw, nothing


def jobs(out, before=nothing, count=4, method="sam"):
    levels = {"method": method}
    return [Job(out / f"sam-seed{seed}", levels, seed, Draw(levels, seed, before=before)) for seed in range(count)]


@pytest.mark.parametrize("pool", [Here(), Processes(2)], ids=["here", "processes"])
def test_every_job_ends_and_a_failure_costs_itself_alone(tmp_path, pool):
    def fails(draw, directory):
        if draw.seed == 1:
            raise ValueError("too hot")
        if draw.seed == 2:
            sys.exit("no more")

    ended = [one.job for one in pool.run(jobs(tmp_path, fails))]
    assert sorted(job.seed for job in ended) == [0, 1, 2, 3]
    found = {job.seed: find_cell(job.directory) for job in ended}
    assert [found.pop(seed).reason for seed in (1, 2)] == ["ValueError: too hot", "SystemExit: no more"]
    assert {type(one) for one in found.values()} == {Finished}


def test_jobs_are_taken_when_they_begin(tmp_path):
    taken = []

    def waits(draw, directory):
        until = time.monotonic() + 60
        while not (directory.parent / "go").exists() and time.monotonic() < until:
            time.sleep(0.02)

    def some():
        for job in jobs(tmp_path, waits):
            taken.append(job.seed)
            yield job

    threading.Timer(0.5, (tmp_path / "go").touch).start()
    with closing(Processes(2).run(some())) as ends:
        next(ends)
        assert taken == [0, 1]


def test_a_lost_process_disturbs_no_other(tmp_path):
    """One is killed while the other one is at work: that one's process stays, and its cell begins once."""

    def before(draw, directory):
        with open(directory.parent / f"begun-{draw.seed}", "a") as file:
            file.write(f"{os.getpid()}\n")
        if draw.seed == 0 and not (directory.parent / "killed").exists():
            while not (directory.parent / "begun-1").exists():
                time.sleep(0.02)
            (directory.parent / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if draw.seed == 1:
            while not (directory.parent / "begun-2").exists():
                time.sleep(0.02)

    ended = list(Processes(2).run(jobs(tmp_path, before, count=3)))
    assert {type(find_cell(one.job.directory)) for one in ended} == {Finished}
    begun = {seed: (tmp_path / f"begun-{seed}").read_text().split() for seed in range(3)}
    assert [len(begun[seed]) for seed in range(3)] == [2, 1, 1]
    assert ended[-1].job.seed == 0  # what was lost is repeated last, alone


def test_warnings_come_back_as_sentences(tmp_path):
    def warns(draw, directory):
        warnings.warn("mind the gap", SamnesiaWarning, stacklevel=2)
        warnings.warn("it collapsed", TrainingCollapsedWarning, stacklevel=2)

    for pool in (Here(), Processes(2)):
        assert [one.warnings for one in pool.run(jobs(tmp_path / str(pool), warns, count=2))] == 2 * [("mind the gap",)]


def test_work_that_cannot_be_sent_is_refused(tmp_path):
    (job,) = jobs(tmp_path, count=1)
    lock = threading.Lock()
    locked = Job(job.directory, job.levels, 0, Draw(job.levels, 0, before=lambda draw, at: lock))
    with pytest.raises(ConfigurationError, match="cannot send the work of sam, seed 0 to another process.*pickled"):
        list(Processes(2).run([locked]))


def test_work_of_a_users_file_is_found_by_its_file(tmp_path):
    """As in a process on another machine: it has not been imported there."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "engine_own_work.py").write_text(
        "from tests.study.tiny_study import Draw\n\nclass Own(Draw):\n    pass\n"
    )
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from samnesia.sources import import_file
        from samnesia.study.engine.jobs import Job, pack

        Own = import_file(Path(sys.argv[1])).Own
        job = Job(Path(sys.argv[2]), {"method": "sam"}, 3, Own({"method": "sam"}, 3))
        sys.stdout.buffer.write(pack(job))
        """
    )
    made = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "own" / "engine_own_work.py", tmp_path / "cell"],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    assert do_packed(made.stdout) == ()
    assert isinstance(find_cell(tmp_path / "cell"), Finished)
    (tmp_path / "own" / "engine_own_work.py").unlink()
    sys.modules.pop("engine_own_work")
    with pytest.raises(ConfigurationError, match="there is no such Python file"):
        do_packed(made.stdout)
    sys.path.remove(str(tmp_path / "own"))


def test_work_that_is_not_found_in_a_process_fails_alone(tmp_path, monkeypatch):
    """Such as a class of a file that is gone by then."""
    import samnesia.study.engine.pool as module

    monkeypatch.setattr(module, "pack", lambda job: b"no pickle" if job.seed == 0 else pack(job))
    list(Processes(2).run(jobs(tmp_path, count=2)))
    first, second = (find_cell(tmp_path / f"sam-seed{seed}") for seed in range(2))
    assert first.reason.startswith("UnpicklingError")
    assert isinstance(second, Finished)


STUDY = """
import os, sys, time
from pathlib import Path
from samnesia.study.engine.run import run_study
from tests.study.tiny_study import study

def before(draw, directory):
    (directory / "pid").write_text(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    try:
        run_study(study(before=before), sys.argv[1], workers=2)
    except KeyboardInterrupt as stop:
        print(stop)
        sys.exit(130)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_study(tmp_path, sent):
    script = tmp_path / "study_of_sleepers.py"
    script.write_text(STUDY)
    study = subprocess.Popen(
        [sys.executable, script, tmp_path / "out"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    cells = tmp_path / "out" / "cells"
    workers = [_wait_for_pid(cells / f"sgd,{name}-seed0" / "pid", study) for name in ("steps", "gradients")]
    if sent == signal.SIGINT:
        os.killpg(study.pid, sent)  # as a terminal does: to the study and its workers alike
    else:
        os.kill(study.pid, sent)
    output, errors = study.communicate(timeout=60)
    if sent == signal.SIGINT:
        assert study.returncode == 130
        assert output == "interrupted: 0 of 8 runs are finished and kept; the same command does the rest.\n"
        assert errors == ""
    for worker in workers:
        _wait_for_end(worker)


def _wait_for_pid(path, study):
    for _ in _ticks():
        if path.exists() and path.read_text():
            return int(path.read_text())
        assert study.poll() is None, study.communicate()
    raise AssertionError(f"no worker has started in {path.parent}")


def _wait_for_end(pid):
    for _ in _ticks():
        try:
            with open(f"/proc/{pid}/status") as file:
                if "State:\tZ" in file.read():
                    return  # ended, and nobody has collected it
        except (FileNotFoundError, ProcessLookupError):
            return
    raise AssertionError(f"worker {pid} lives on")


def _ticks():
    for _ in range(600):
        yield
        time.sleep(0.1)

"""Ray: the same jobs with the same ends as in processes of this machine."""

import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing

import pandas as pd
import pytest

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.engine import cluster
from samnesia.study.engine.plan import make_plan
from samnesia.study.engine.pool import LOST
from samnesia.study.engine.run import run_study
from samnesia.study.engine.store import Failed, find_cell
from tests.study import tiny_study
from tests.study.tiny_study import study, without_time


def run(some, out, **options):
    return run_study(some, out, progress=False, **options)


def troubles(draw, directory):
    """A cell fails, a process is lost once, another one always, and one warns."""
    tiny_study.too_hot(draw, directory)
    tiny_study.killed_once(draw, directory)
    if (*draw.levels.values(), draw.seed) == ("sgd", "gradients", 1):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_local_ray_ends_with_the_table_of_one_process(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    done = run(study(before=troubles), tmp_path / "ray", ray="local", workers=2)
    assert signal.getsignal(signal.SIGTERM) is before
    assert not list((tmp_path / "ray").glob(".seen*"))
    whole = run(study(before=tiny_study.too_hot), tmp_path / "here", workers=1)
    lost = done.table["directory"] == "cells/sgd,gradients-seed1"
    assert list(done.table[lost]["reason"]) == [LOST]
    one, other = (without_time(table[~lost]) for table in (done.table, whole.table))
    pd.testing.assert_frame_equal(one, other)
    assert (tmp_path / "ray" / "cells" / "accident").exists()


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:none", "ray://127.0.0.1:10001", "", "127.0.0.1:99999"])
def test_addresses_where_no_ray_is_are_refused(tmp_path, address):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ConfigurationError, match=re.escape(repr(address))) as refusal:
        run(study(), tmp_path, ray=address)
    assert signal.getsignal(signal.SIGTERM) is before
    assert "\n" not in str(refusal.value)


def test_a_port_where_nothing_listens_is_refused_at_once(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match="nothing answers there .*; name HOST:PORT as `ray start --head`"):
            run(study(), tmp_path, ray=address)


@pytest.mark.slow
def test_a_port_where_something_else_listens_is_refused_without_a_line_of_rays(tmp_path, capfd):
    """For half a minute Ray looks for itself there, and says so from code that is not Python."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=f"cannot reach Ray at '{address}', because nothing answers there"):
            run(study(), tmp_path, ray=address)
    assert capfd.readouterr() == ("", "")


def test_what_ray_prints_while_it_looks_for_a_cluster_goes_nowhere(capfd):
    with pytest.raises(ValueError, match="none"), cluster._nothing_on_standard_error():
        os.write(2, b"Failed to connect to GCS\n")
        raise ValueError("none")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


def test_ray_that_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=re.escape("pip install samnesia[study]")):
        run(study(), tmp_path / "out", ray="local")
    assert not (tmp_path / "out").exists()


class Machine:
    """One machine of a cluster that is made up, for what it may answer."""

    class exceptions:
        RayError = RuntimeError

    def __init__(self, answer):
        self._answer = answer

    def nodes(self):
        return [{"Alive": False}, {"Alive": True, "NodeID": 28 * "ab", "NodeManagerHostname": "one"}]

    def remote(self, *arguments):
        return self

    def options(self, **options):
        return self

    def get(self, reference):
        return self._answer()


def broken():
    raise RuntimeError("Traceback\nModuleNotFoundError: No module named 'samnesia'")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda: None, "its machine one does not see {out}, through which results travel; put --out on a file system"),
        (lambda: "0.0.1", "its machine one has samnesia 0.0.1, and this one "),
        (broken, "its machine one cannot run samnesia (ModuleNotFoundError: No module named 'samnesia'); install it"),
    ],
)
def test_a_machine_that_cannot_take_part_is_refused(tmp_path, answer, sentence):
    machine = Machine(answer)
    with pytest.raises(ConfigurationError, match=re.escape(sentence.format(out=tmp_path))):
        cluster._check_machines(machine, "10.0.0.1:6379", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_machine_sees_what_is_written_here(tmp_path):
    (tmp_path / "probe").write_text("token")
    assert cluster._look(tmp_path / "probe", "token") is not None


class Exceptions:
    RayError = type("RayError", (Exception,), {})
    RayTaskError = type("RayTaskError", (RayError,), {})


class Scripted:
    """A Ray that does every task at once, in this process, and loses those that it is told to."""

    exceptions = Exceptions

    def __init__(self, lost=(), broken=()):
        self.lost, self.broken = list(lost), list(broken)
        self.options_of_tasks, self.cancelled, self.at_a_time, self._open = [], [], 0, {}

    def cluster_resources(self):
        return {"CPU": 4.0, "GPU": 2.0}

    def remote(self, function):
        ray = self

        class Task:
            def options(self, **options):
                ray.options_of_tasks.append(options)
                return self

            def remote(self, packed):
                ray._open[reference := object()] = function, packed
                ray.at_a_time = max(ray.at_a_time, len(ray._open))
                return reference

        return Task()

    def wait(self, references, num_returns):
        return references[:num_returns], references[num_returns:]

    def get(self, reference):
        function, packed = self._open.pop(reference)
        name = pickle.loads(pickle.loads(packed)[1]).name
        if name in self.broken:
            raise self.exceptions.RayTaskError("Traceback\nModuleNotFoundError: No module named 'mine'")
        if name in self.lost:
            self.lost.remove(name)
            raise self.exceptions.RayError("the machine has gone")
        return function(packed)

    def cancel(self, reference, force):
        self.cancelled.append(force)


def scripted(out, ray, *, workers):
    jobs = make_plan(study(), out).jobs
    return list(cluster.Cluster("local", out, workers)._run(ray, jobs))


def test_jobs_whose_process_is_lost_are_repeated_once_and_what_is_not_found_there_fails(tmp_path):
    always, once, broken = "sam, steps, seed 0", "sgd, steps, seed 1", "sgd, gradients, seed 0"
    ray = Scripted(lost=(always, always, once), broken=(broken,))
    ended = scripted(tmp_path, ray, workers=2)
    assert len(ended) == 8 and ray.at_a_time == 2
    assert ray.options_of_tasks == [{"num_cpus": 2, "num_gpus": 1, "max_retries": 0}]
    failed = {one.job.name: found.reason for one in ended if isinstance(found := find_cell(one.job.directory), Failed)}
    assert failed == {always: LOST, broken: "ModuleNotFoundError: No module named 'mine'"}


def test_when_it_is_interrupted_open_jobs_are_cancelled(tmp_path):
    ray = Scripted()
    ends = cluster.Cluster("local", tmp_path, None)._run(ray, make_plan(study(), tmp_path).jobs)
    next(ends)
    ends.close()
    assert ray.cancelled == [True] * 3  # of four CPUs, one job has ended
    assert ray.options_of_tasks == [{"num_cpus": 1, "num_gpus": 0.5, "max_retries": 0}]


def test_what_is_not_seen_here_in_time_has_failed(tmp_path, monkeypatch):
    """Such as when a machine mounts another directory at the study's path."""
    monkeypatch.setattr(cluster, "PATIENCE", 0.2)
    monkeypatch.setattr(Scripted, "get", lambda self, reference: self._open.pop(reference) and ())
    with closing(cluster.Cluster("local", tmp_path, 1)._run(Scripted(), make_plan(study(), tmp_path).jobs)) as ends:
        first = next(ends)
    assert find_cell(first.job.directory).reason == "what it has written was not seen here within 0.2 seconds"


@pytest.mark.parametrize(
    ("total", "at_a_time", "share"),
    [(64, 64, 1), (64, 10, 6), (8, 8, 1), (8, 3, 2), (0, 4, 0), (1, 3, 0.3333), (8, 64, 0.125)],
)
def test_each_job_gets_its_share(total, at_a_time, share):
    assert cluster._share(float(total), at_a_time) == share
    assert at_a_time * share <= total


STUDY = """
import os, sys, time
from samnesia.study.engine.run import run_study
from tests.study.tiny_study import study

def before(draw, directory):
    (directory / "pid").write_text(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    try:
        run_study(study(before=before), sys.argv[1], workers=1, ray="local", progress=False)
    except KeyboardInterrupt as stop:
        print(stop)
        sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_ray_ends_with_the_study(tmp_path, sent):
    """After SIGKILL, Ray's own agents take about two minutes to notice; they do nothing by then."""
    script = tmp_path / "study_of_sleepers.py"
    script.write_text(STUDY)
    study = subprocess.Popen(
        [sys.executable, "-W", "error", script, tmp_path / "out"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    pid = tmp_path / "out" / "cells" / "sgd,steps-seed0" / "pid"
    while not (pid.exists() and pid.read_text()):
        assert study.poll() is None, study.communicate()
        time.sleep(0.1)
    there = _descendants(study.pid)
    assert {"raylet", "gcs_server"} <= {_name(process) for process in there}
    if sent == signal.SIGINT:
        os.killpg(study.pid, sent)
    else:
        os.kill(study.pid, sent)
    output, errors = study.communicate(timeout=120)
    if sent == signal.SIGINT:
        assert study.returncode == 130
        assert output == "interrupted: 0 of 8 runs are finished and kept; the same command does the rest.\n"
        assert errors == ""
    for _ in range(3000):
        if not any(map(_name, {*there, int(pid.read_text())})):
            return
        time.sleep(0.1)
    raise AssertionError({process: _name(process) for process in there if _name(process)})


def _descendants(pid):
    children = [int(line) for line in subprocess.run(
        ["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True).stdout.split()]  # fmt: skip
    return children + [process for child in children for process in _descendants(child)]


def _name(pid):
    """The name of a process; nothing when it has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            name, _, rest = file.read().partition("(")[2].rpartition(")")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if rest.split()[0] == "Z" else name

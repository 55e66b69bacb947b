"""Runs that are killed: a process that imports once, and forks a child for every attempt at a run.

As a script it serves requests, one JSON object per line of standard input::

    {"run": DIR, "config": {...}, "after": SECONDS}     kill the child after so long, or let it end first
    {"run": DIR, "config": {...}, "operation": N}       let it kill itself at its N-th operation on files

and answers each with {"killed": true | false, "seconds": ...}; the child starts the run, or resumes it if there is one.
"""

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

OPERATIONS = ("open", "mkdir", "fsync", "rename", "replace", "symlink", "truncate", "unlink", "rmdir")
"""Functions of `os` before which, and after which, a child can be killed; a write to a file is one more."""


class Killer:
    """Serves requests in a process of its own; a context manager."""

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def attempt(self, run, config, **when):
        self._process.stdin.write(json.dumps({"run": str(run), "config": config.to_json(), **when}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer


def what_is_left(run):
    """Everything a run has written, but for times and places: to be compared with == ."""
    import torch
    from safetensors.torch import load_file

    result = json.loads((run / "result.json").read_text())
    left = {
        "metrics": (run / "metrics.jsonl").read_text(),
        "steps": (run / "steps.jsonl").read_text(),
        "config": (run / "config.json").read_text(),
        "result": {key: value for key, value in result.items() if key not in ("environment", "seconds")},
        "files": sorted(str(path.relative_to(run)) for path in run.rglob("*")),
        "best": os.readlink(run / "checkpoints" / "best"),
    }
    for path in sorted((run / "checkpoints").glob("epoch*")):
        for weights in path.glob("*.safetensors"):
            left[f"{path.name}/{weights.name}"] = {
                name: (value.dtype, value.tolist()) for name, value in load_file(weights).items()
            }
        state = torch.load(path / "state.pt", weights_only=True)
        del state["totals"]["seconds"]
        left[f"{path.name}/state"] = plain(state)
    return left


def plain(value):
    """Tensors as lists, in whatever they are nested."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def until_finished(killer, run, config, rng, *, longest):
    """Start and resume a run, killing it after random times, until it ends; return how often it was killed."""
    kills = 0
    while killer.attempt(run, config, after=rng.uniform(0.0, longest))["killed"]:
        kills += 1
        assert kills < 400, "no progress"
    return kills


def restart(run):
    shutil.rmtree(run, ignore_errors=True)


def _serve():
    import torch

    from samnesia.train.config import RunConfig
    from samnesia.train.loop import resume, train

    torch.set_num_threads(1)
    warm = False
    for line in sys.stdin:
        request = json.loads(line)
        run, config = Path(request["run"]), RunConfig.from_json(request["config"])
        if not warm:  # what is imported late is imported once, for all children
            with warnings.catch_warnings(), tempfile.TemporaryDirectory() as scratch, open(os.devnull, "w") as null:
                warnings.simplefilter("ignore")
                with redirect_stdout(null):
                    train(config, Path(scratch) / "run")
            warm = True
        started = time.monotonic()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            _attempt(run, config, request, train, resume, writing)
        os.close(writing)
        if "after" in request:
            while time.monotonic() - started < request["after"] and not os.waitid(
                os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT
            ):
                time.sleep(0.002)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        with os.fdopen(reading) as pipe:
            error = pipe.read()
        answer = {"killed": os.WIFSIGNALED(status), "seconds": time.monotonic() - started}
        print(json.dumps(answer | ({"error": error} if error else {})), flush=True)


def _attempt(run, config, request, train, resume, report):
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        warnings.simplefilter("ignore")
        with _deadly(request.get("operation")):
            if (run / "config.json").exists():
                resume(run)
            else:
                restart(run)  # killed before it had begun: nothing of it counts
                train(config, run)
        code = 0
    except BaseException as error:
        os.write(report, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(code)


@contextmanager
def _deadly(countdown):
    """Kill this process at the countdown-th operation on files: half of them before, half after they are done."""
    if countdown is None:
        yield
        return
    left = [countdown]

    def deadly(function):
        def wrapped(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            value = function(*arguments, **options)
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return value

        return wrapped

    class TornWriter(io.BufferedWriter):
        def write(self, content):
            left[0] -= 1
            if left[0] == 0:  # half a line, half a file
                super().write(bytes(content)[: len(content) // 2])
                self.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().write(content)

    import builtins

    plain_open = builtins.open

    def torn(file, mode="r", *arguments, **options):
        if isinstance(file, (str, Path)) and "samnesia" not in str(file) and mode in ("w", "a", "wb"):
            raw = io.FileIO(file, mode.replace("b", ""))
            writer = TornWriter(raw)
            return writer if mode == "wb" else io.TextIOWrapper(writer, encoding="utf-8", write_through=True)
        return plain_open(file, mode, *arguments, **options)

    before = {name: getattr(os, name) for name in OPERATIONS}
    for name, function in before.items():
        setattr(os, name, deadly(function))
    builtins.open = torn
    try:
        yield
    finally:
        builtins.open = plain_open
        for name, function in before.items():
            setattr(os, name, function)


if __name__ == "__main__":
    _serve()


__all__ = ["Killer", "random", "restart", "until_finished", "what_is_left"]

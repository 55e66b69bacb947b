"""Run as a module by torchrun: the runs of a JSON file, one after the other; says nothing.

Each is {"config": ..., "out": ..., "resume": BOOL, "kill": STEP, "terminate": STEP}: at that step, counted from 1 in
this process, rank 0 kills everything that torchrun has started, or the last rank asks torchrun to end.
"""

import json
import os
import signal
import sys
import threading
import warnings
from pathlib import Path

import torch.distributed as dist

from samnesia.perturb.errors import RunStopped
from samnesia.train import loop
from samnesia.train.config import RunConfig

STOPPED = 75
asked = threading.Event()


def everybody():
    """The pids of all ranks, and of their agents."""
    answers = [None] * dist.get_world_size()
    dist.all_gather_object(answers, (os.getpid(), os.getppid()))
    return {pid for pids in answers for pid in pids}


class Interruptions:
    """What `stop` of a run does beside looking whether SIGTERM has come."""

    def __init__(self, kill=None, terminate=None):
        self._kill, self._terminate, self._step = kill, terminate, 0

    def __call__(self):
        self._step += 1
        if self._step == self._kill:
            pids = everybody()
            if dist.get_rank() == 0:
                for pid in pids - {os.getpid()}:
                    os.kill(pid, signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()
        if self._step == self._terminate:
            if dist.get_rank() == dist.get_world_size() - 1:
                os.kill(os.getppid(), signal.SIGTERM)
            asked.wait(60)
        return asked.is_set()


def main(runs):
    for run in runs:
        out, stop = Path(run["out"]), Interruptions(run.get("kill"), run.get("terminate"))
        try:
            if run["resume"]:
                loop.resume(out, stop=stop)
            else:
                loop.train(RunConfig.from_json(run["config"]), out, stop=stop)
        except RunStopped:
            sys.exit(STOPPED)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    warnings.simplefilter("ignore")
    main(json.loads(Path(sys.argv[1]).read_text()))

"""Loading processes end with the process that trains, whenever that is killed, and at nobody else's word."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ORPHAN = """
import os, sys, time
from samnesia.data.workers import heed_only
training = os.getpid()
if os.fork() == 0:
    print("forked", flush=True)
    if sys.argv[1] == "before":  # its parent is killed before it has begun to look for it
        while os.getppid() == training:
            time.sleep(0.01)
    heed_only(training, 0)
    time.sleep(600)
time.sleep(600)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_loading_process_ends_when_the_training_one_is_killed(when):
    with subprocess.Popen([sys.executable, "-c", ORPHAN, when], stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout.readline() == "forked\n"
        training.kill()
        assert training.stdout.read() == ""  # comes to an end only when the loading process has closed it, too


ASKED = """
import os, signal, sys, time
from samnesia.data.workers import heed_only
training = os.getpid()
loader = os.fork()
if loader == 0:
    heed_only(training, 0)
    print("at work", flush=True)
    time.sleep(600)
sys.stdin.readline()
assert os.waitpid(loader, os.WNOHANG) == (0, 0)  # others have asked, in vain
os.kill(loader, signal.SIGTERM)
assert os.waitpid(loader, 0) == (loader, 0)
print("ended", flush=True)
"""


def test_only_the_training_process_can_ask_it_to_end():
    command = [sys.executable, "-c", ASKED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout.readline() == "at work\n"
        (loader,) = Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text().split()
        os.kill(int(loader), signal.SIGTERM)
        os.kill(int(loader), signal.SIGINT)
        time.sleep(0.2)
        training.stdin.write("\n")
        training.stdin.flush()
        assert training.stdout.readline() == "ended\n"
    assert training.returncode == 0

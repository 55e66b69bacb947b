"""Flower itself: its simulation gives what this process gives, bit by bit; so do a server and clients over loopback."""

from dataclasses import replace

import pytest

from samnesia.federated.flower import run_with_flower, write_app
from samnesia.federated.parts import FedAvgM, Partition, ServerSWA
from samnesia.federated.recipes import find
from samnesia.federated.run import write_down
from tests.federated.fed import last, ran, same
from tests.federated.test_going_on import without_times


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine, clients", [("simulation", 4), ("processes", 2)])
def test_flower_gives_what_this_process_gives(engine, clients, tmp_path):
    config = replace(
        find("digits-fedsam"), clients=clients, participants=2, rounds=3, partition=Partition(1.0), server=FedAvgM(),
        swa=ServerSWA(start=0, cycle=1), timeout=300.0,
    )  # fmt: skip
    write_down(config, tmp_path / "flower")
    result = run_with_flower(config, tmp_path / "flower", engine)
    expected = ran(config, tmp_path / "here")
    assert result.curves == expected.curves
    assert same(last(tmp_path / "flower").model, last(tmp_path / "here").model)
    assert same(last(tmp_path / "flower").average, last(tmp_path / "here").average)
    assert without_times(tmp_path / "flower") == without_times(tmp_path / "here")


def test_the_app_names_its_parts(tmp_path):
    import tomllib

    app = write_app(tmp_path / "app", tmp_path / "out")
    project = tomllib.loads((app / "pyproject.toml").read_text())
    assert project["tool"]["flwr"]["app"]["components"] == {
        "serverapp": "samnesia_federated:server", "clientapp": "samnesia_federated:client"}  # fmt: skip
    assert project["tool"]["flwr"]["app"]["config"] == {"out": str(tmp_path / "out")}
    assert "samnesia.federated.app" in (app / "samnesia_federated/__init__.py").read_text()

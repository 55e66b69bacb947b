"""Two processes train the same whether the first of them records or not."""

from dataclasses import replace

from samnesia.train.config import SAM, Hardware, OwnModel, RecordForgetting, Recording, RecordSharpness
from tests.train.distributed import jobs, problem
from tests.train.distributed.configs import SMALL
from tests.train.small import last_weights, lines

RECORD = Recording(RecordForgetting(rho=0.1), RecordSharpness(), points=3, perturbations=2)


def test_recording_changes_no_bit_of_two_processes(ranks, tmp_path):
    plain = replace(SMALL, model=OwnModel(problem.normed), hardware=Hardware(accelerator="cpu"), method=SAM(0.1))
    configs = [
        replace(run, record=record)
        for run in (plain, replace(plain, micro_batch=4))
        for record in (Recording(), RECORD)
    ]
    outs = [tmp_path / str(i) for i in range(len(configs))]
    ranks.run(jobs.train_or_go_on, configs, outs)
    for without, recorded in (outs[:2], outs[2:]):
        expected, found = last_weights(without), last_weights(recorded)
        assert expected.keys() == found.keys()
        assert all((expected[name] == found[name]).all() for name in expected)
        assert (without / "metrics.jsonl").read_text() == (recorded / "metrics.jsonl").read_text()
        assert [line["forgetting"]["own"] is not None for line in lines(recorded / "records.jsonl")] == [True] * 3

"""Along a subspace several ranks are one process: they stand at one place, and none has a part of it."""

from dataclasses import replace

import pytest

from samnesia.train.config import SAM, Hardware, Line, OwnModel, Simplex
from tests.train.distributed import jobs, problem
from tests.train.distributed.configs import SMALL, fsdp
from tests.train.distributed.test_same_gradients import assert_same, same_on_all_ranks

pytestmark = pytest.mark.filterwarnings("ignore::samnesia.perturb.errors.TrainingCollapsedWarning")


@pytest.mark.slow
def test_two_ranks_are_one_process(ranks):
    configs = [
        replace(SMALL, subspace=Line(), method=SAM(0.1)),
        replace(SMALL, subspace=Simplex(n=3, layerwise=True), method=SAM(0.1), micro_batch=3),
    ]
    answers = same_on_all_ranks(ranks.run(jobs.several, configs))
    for found, config in zip(answers, configs, strict=True):
        assert_same(found, jobs.trained(config))


def test_ranks_draw_the_same_place(ranks):
    """With dropout and BatchNorm, which are each rank's own."""
    config = replace(SMALL, subspace=Line(), model=OwnModel(problem.normed), epochs=1, hardware=Hardware("cpu"))
    answers = ranks.run(jobs.trained, config)
    names = [name for name in answers[0]["weights"] if "running" not in name and "tracked" not in name]
    assert all(answers[0]["weights"][name] == answers[1]["weights"][name] for name in names)
    assert answers[0]["curves"] == answers[1]["curves"]


def test_a_model_in_parts_is_refused(ranks, tmp_path):
    for answer in ranks.run(jobs.refused, fsdp(replace(SMALL, subspace=Line())), tmp_path / "run"):
        assert (
            answer.startswith("ConfigurationError: cannot train a line with strategy fsdp, because")
            and "\n" not in answer
        )
    assert not (tmp_path / "run").exists()

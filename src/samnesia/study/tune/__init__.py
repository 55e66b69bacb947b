"""Tune a run's settings on validation, and say on fresh seeds whether that helped."""

from samnesia.study.tune.result import Origin
from samnesia.study.tune.run import tune

__all__ = ["Origin", "tune"]

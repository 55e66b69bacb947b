"""Thin adapters over the flow of passes, for code that owns its loop or has another protocol."""

from samnesia.integrations.optimizer import PerturbedOptimizer, as_optimizer
from samnesia.integrations.two_step import TwoStep, two_step

__all__ = ["PerturbedOptimizer", "TwoStep", "as_optimizer", "two_step"]

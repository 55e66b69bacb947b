"""Measures that several studies have in common."""

from samnesia.study.design import Measure

LAST = Measure("last", "last.test_accuracy", "test accuracy, last epoch", "%", True)
BEST = Measure("best", "best.test_accuracy", "test accuracy, best validation epoch", "%", True)
LAST_LOSS = Measure("last-loss", "last.test_loss", "test loss, last epoch", "", False)
TRAIN = Measure("train", "last.train_accuracy", "training accuracy, last epoch", "%")
VALIDATION = Measure("validation", "last.validation_accuracy", "validation accuracy, last epoch", "%", True)
FLIPPED = Measure("flipped", "last.flipped_fitted", "flipped labels fitted, last epoch", "%", False)
MARK = Measure("mark", "last.test_mark_followed", "misleading mark followed, last epoch", "%", False)
WEIGHTS = Measure("weights", "weight_norm", "norm of the weights, last epoch")
EVALUATIONS = Measure("evaluations", "gradient_evaluations", "gradient evaluations", "", False)
SECONDS = Measure("seconds", "seconds", "wall time", "s", False)

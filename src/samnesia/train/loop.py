"""The training loop: one configuration in, one result out.

The loop knows batches of inputs and labels, and nothing of images or of any method: a method is the passes it asks for.
All randomness comes from the seed of the configuration, so that two runs of one configuration agree bit by bit, in this
process or in a worker, whatever ran before.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from samnesia.data.digits import Split, Splits
from samnesia.data.draws import AUGMENT, SHUFFLE, permutation
from samnesia.perturb.errors import ConfigurationError, TrainingCollapsedWarning
from samnesia.train import log
from samnesia.train.config import RunConfig
from samnesia.train.log import Row, RunResult
from samnesia.train.parts.methods import Unperturbed, method_name

if TYPE_CHECKING:
    from samnesia import PerturbedGradient

EVALUATION_BATCH = 512


@dataclass
class Totals:
    """What accumulates over the steps of a run."""

    steps: int = 0
    skipped: int = 0
    perturbed: int = 0
    skipped_perturbed: int = 0
    gradient_evaluations: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, value: float | None) -> None:
        """Take one step's figure into the mean of ``name``, unless it does not exist."""
        if value is not None and math.isfinite(value):
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def mean(self, name: str) -> float | None:
        """Return the mean over the steps on which there was such a figure."""
        return self.sums[name] / self.counts[name] if name in self.sums else None


def train(config: RunConfig, out: Path | None = None, *, progress: Callable[[Row], None] | None = None) -> RunResult:
    """Train as ``config`` says, and return the result.

    Args:
        config: the run.
        out: directory for ``config.json``, ``metrics.jsonl`` and ``result.json`` (see :mod:`samnesia.train.log`); it
            must be empty or not exist. Nothing is written without it.
        progress: called after each epoch with its row of figures.

    Raises:
        ConfigurationError: for values that cannot be trained with, a training set smaller than a batch, or an ``out``
            that is not empty.

    Warns:
        TrainingCollapsedWarning: if the run ends near chance, or most steps, or most perturbed ones, were not finite.
        IdleScheduleWarning: if ``config.when`` fires on no step of the run.
    """
    splits = config.data.load(config.seed)
    if len(splits.train) < config.batch_size:
        raise ConfigurationError(
            f"cannot train on {len(splits.train)} samples with batches of {config.batch_size}, because only full "
            f"batches are used and there is not even one; use a batch_size of at most {len(splits.train)}"
        )
    with _limited_to(config.threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        channels, height, width = splits.train.images.shape[1:]
        model = config.model.build((channels, height, width), splits.num_classes)
        optimizer = config.optimizer.build(model.parameters())
        steps_per_epoch = len(splits.train) // config.batch_size
        method = config.method.build(
            model,
            optimizer,
            _criterion(config.label_smoothing),
            when=config.when.window(steps_per_epoch),
            seed=config.seed,
            # The base optimizer has no schedule that could be idle.
            total_steps=None if isinstance(config.method, Unperturbed) else config.epochs * steps_per_epoch,
        )
        # Only now, when all that can be refused has been refused, does anything appear on disk.
        if out is not None:
            _check_json(config)
            log.claim(out)
            log.write_json(out / log.CONFIG, config.to_json())
        started, clock = datetime.now(UTC), time.perf_counter()
        rows, totals = [], Totals()
        for epoch in range(config.epochs):
            rate = _train_epoch(config, model, optimizer, method, splits.train, epoch, totals)
            rows.append({"epoch": epoch, "learning_rate": rate, **_evaluate(model, splits)})
            if out is not None:
                log.append_row(out, rows[-1])
            if progress is not None:
                progress(rows[-1])
        result = _result(config, model, rows, totals, seconds=time.perf_counter() - clock, started=started)
    result = replace(result, collapsed=_collapse(result, splits))
    if result.collapsed is not None:
        warnings.warn(result.collapsed, TrainingCollapsedWarning, stacklevel=2)
    if out is not None:
        log.write_json(out / log.RESULT, result.to_json())
    return result


def _check_json(config: RunConfig) -> None:
    try:
        json.dumps(config.to_json(), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"cannot write the configuration down, because JSON has no such value ({error}); change it"
        ) from None


@contextmanager
def _limited_to(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _criterion(label_smoothing: float) -> Callable[[Tensor, Tensor], Tensor]:
    def criterion(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target, label_smoothing=label_smoothing)

    return criterion


def _train_epoch(
    config: RunConfig,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    method: PerturbedGradient,
    data: Split,
    epoch: int,
    totals: Totals,
) -> float:
    """Train for one epoch and return the learning rate of its last step."""
    model.train()
    inputs = config.data.augment(data.images, key=(config.seed, AUGMENT, epoch))
    order = torch.from_numpy(permutation(len(data), key=(config.seed, SHUFFLE, epoch)))
    steps_per_epoch = len(data) // config.batch_size
    warmup_steps = round(config.schedule.warmup_epochs * steps_per_epoch)
    rate = 0.0
    for i, batch in enumerate(order.split(config.batch_size)[:steps_per_epoch]):
        rate = config.optimizer.lr * config.schedule.factor(
            epoch * steps_per_epoch + i, total_steps=config.epochs * steps_per_epoch, warmup_steps=warmup_steps
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        _train_step(config, model, optimizer, method, inputs[batch], data.labels[batch], totals)
    return rate


def _train_step(
    config: RunConfig,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    method: PerturbedGradient,
    inputs: Tensor,
    labels: Tensor,
    totals: Totals,
) -> None:
    micro_batch = config.micro_batch or config.batch_size
    for x, y in zip(inputs.split(micro_batch), labels.split(micro_batch), strict=True):
        for p in method.passes():  # each micro-batch has a perturbation of its own
            with torch.set_grad_enabled(p.needs_gradient):
                loss = p.loss(model(x), y) * (len(y) / len(labels))
            if p.needs_gradient:
                loss.backward()
    report = method.last_step
    totals.gradient_evaluations += report.gradient_evaluations // report.micro_batches
    totals.add("gradient_norm", report.gradient_norm)
    if report.perturbed:
        totals.perturbed += 1
        totals.skipped_perturbed += not report.finite
        totals.add("perturbation_norm", report.perturbation_norm)
        totals.add("cosine", report.cosine)
    if report.finite:
        if config.clip_norm is not None:
            clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        totals.steps += 1
    else:
        totals.skipped += 1
    optimizer.zero_grad()


@torch.no_grad()
def _evaluate(model: nn.Module, splits: Splits) -> Row:
    """Return the figures of all three splits, without augmentation: shares in percent, losses in nats."""
    model.eval()
    row: Row = {}
    for name in ("train", "validation", "test"):
        split: Split = getattr(splits, name)
        logits = torch.cat([model(images) for images in split.images.split(EVALUATION_BATCH)])
        predicted = logits.argmax(dim=1)
        row[f"{name}_loss"] = _finite(F.cross_entropy(logits, split.labels))
        row[f"{name}_accuracy"] = _percent(predicted == split.labels)
        if name == "train":
            flipped = split.labels != split.clean_labels
            row["flipped_fitted"] = _percent((predicted == split.labels)[flipped])
            row["flipped_recovered"] = _percent((predicted == split.clean_labels)[flipped])
    return row


def _percent(hits: Tensor) -> float | None:
    return 100.0 * int(hits.sum()) / len(hits) if len(hits) else None


def _finite(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _result(
    config: RunConfig, model: nn.Module, rows: list[Row], totals: Totals, *, seconds: float, started: datetime
) -> RunResult:
    # max returns the first of equals: the earliest epoch of the highest validation accuracy.
    best = max(rows, key=lambda row: row["validation_accuracy"] or 0.0)
    parameters = [p.detach() for p in model.parameters() if p.requires_grad]
    return RunResult(
        recipe=config.recipe,
        method=method_name(config.method),
        seed=config.seed,
        config=config,
        environment={
            **log.environment(),
            "threads": config.threads,
            "started": started.isoformat(timespec="seconds"),
        },
        parameters=sum(p.numel() for p in parameters),
        curves={name: [row[name] for row in rows] for name in rows[0]},
        last=rows[-1],
        best=best,
        steps=totals.steps,
        skipped_steps=totals.skipped,
        perturbed_steps=totals.perturbed,
        skipped_perturbed_steps=totals.skipped_perturbed,
        gradient_evaluations=totals.gradient_evaluations,
        seconds=seconds,
        report={name: totals.mean(name) for name in ("perturbation_norm", "cosine", "gradient_norm")},
        weight_norm=_finite(torch.stack([p.double().square().sum() for p in parameters]).sum().sqrt()),
        collapsed=None,
    )


def _collapse(result: RunResult, splits: Splits) -> str | None:
    """Return the sentence of the warning if the run learned nothing, None if it did."""
    chance = 100.0 / splits.num_classes
    accuracy = result.last["train_accuracy"] or 0.0
    attempted = result.steps + result.skipped_steps
    perturbed, lost = result.perturbed_steps or 0, result.skipped_perturbed_steps or 0
    learned = accuracy > 1.5 * chance and result.skipped_steps <= attempted / 2
    if learned and lost <= perturbed / 2:
        return None
    if learned:
        return (
            f"{result.recipe} (seed {result.seed}) trained mostly without its method: {lost} of {perturbed} perturbed "
            "steps were not finite and were skipped; lower rho"
        )
    figures = f"training accuracy {accuracy:.1f} % where chance is {chance:.1f} %"
    if result.skipped_steps:
        figures += f", {result.skipped_steps} of {attempted} steps not finite"
    run = f"{result.recipe} (seed {result.seed}) ended near chance"
    norm = result.report["perturbation_norm"]
    if isinstance(result.config.method, Unperturbed) or norm is None:
        return f"{run}: {figures}; lower the learning rate, or train longer"
    relative = f", {100 * norm / result.weight_norm:.0f} % of the weights'" if result.weight_norm else ""
    return (
        f"{run} with rho {result.config.method.rho:g} (mean length of the perturbation {norm:.3g}{relative}): "
        f"{figures}; lower rho, perturb from a later epoch on, or train longer"
    )

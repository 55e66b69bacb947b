"""One deliberate mistake per class, and in `MUTANTS` the rows of the suite that must see it: these and no others."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from samnesia.conformance import Claims, Passes, Setup, textbook
from tests.conformance.reference import Reference, whole
from tests.conformance.wrong_loops import ClipsEarly, CountsTwice, ForgetsAStep, KeepsTheLastPiece, StopsAtZero


class Subtracts(Reference):
    def perturb(self, saved):
        length = self.norm(None, [p.grad for p in saved]) + self.epsilon() if saved else 1.0
        finite = length < float("inf")
        self.moves = {p: self.radius(p) / length * p.grad if finite else torch.zeros_like(p) for p in saved}
        return super().perturb(saved)

    @torch.no_grad()
    def restore(self, saved):
        for p in saved:
            p.sub_(self.moves[p])
        self.moves = {}


class RebindsData(Reference):
    def restore(self, saved):
        for p, value in saved.items():
            p.data = value


class NeedsGradients(Reference):
    def with_gradient(self):
        return self.parameters()

    def perturb(self, saved):
        for p in saved:
            p.grad.norm()
        return super().perturb(saved)


class TouchesStatisticsTwice(Reference):
    def put_back(self, statistics):
        pass


class FreezesByMomentum(Reference):
    """The trick of many: momentum 0 in the last pass; the count of batches doubles, other norms are overlooked."""

    def norms(self):
        return [m for m in self.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]

    def statistics(self):
        kept = [(m, m.momentum) for m in self.norms()]
        for m, _ in kept:
            m.momentum = 0.0
        return kept

    def put_back(self, statistics):
        for m, momentum in statistics:
            m.momentum = momentum


class NeverReleasesStatistics(FreezesByMomentum):
    def put_back(self, statistics):
        if sys.exc_info()[0] is None:
            super().put_back(statistics)


class SavesNoState(Reference):
    def guard(self):
        super().guard()
        plain = self.optimizer.state_dict
        self.optimizer.state_dict = lambda: {**plain(), "state": {}}


class NoEpsilon(Reference):
    def epsilon(self):
        return 0.0

    @torch.no_grad()
    def perturb(self, saved):
        gradients = [p.grad for p in saved]
        length = whole(torch.nn.utils.get_total_norm(gradients)) if gradients else torch.ones(())
        for p in saved:
            p.add_(self.radius(p) * p.grad / length)
        return bool(length.isfinite())


class NoFinally(Reference):
    def passes(self):
        self.optimizer.zero_grad()
        yield 0
        self.refuse_sparse(self.with_gradient())
        saved, statistics = self.save(self.with_gradient()), self.statistics()
        finite = self.perturb(saved)
        self.open = True
        self.optimizer.zero_grad()
        yield 1
        self.open = False
        self.restore(saved)
        self.put_back(statistics)
        if not finite:
            self.spoil()


class PerturbsAlongDecay(Reference):
    def direction(self, p):
        group = self.optimizer.param_groups[0]
        return p.grad + group.get("weight_decay", 0.0) * p.detach()


class AcceptsHalf(Reference):
    def check(self, setup):
        if self.rho < 0:
            raise ValueError("cannot perturb by a negative radius")

    @torch.no_grad()
    def perturb(self, saved):
        if not all(p.dtype in (torch.float16, torch.bfloat16) for p in saved):
            return super().perturb(saved)
        length = float(torch.nn.utils.get_total_norm([p.grad.float() for p in saved])) + self.epsilon()
        for p in saved:
            p.copy_(p.float() + p.grad.float() * (self.radius(p) / length))
        return True


class NormInHalf(AcceptsHalf):
    @torch.no_grad()
    def perturb(self, saved):
        gradients = [p.grad for p in saved]
        if not gradients:
            return True
        length = whole(torch.nn.utils.get_total_norm(gradients)) + 1e-12
        for p in saved:
            if length.isfinite() or length.dtype == torch.float16:
                p.add_(self.radius(p) * p.grad / length.to(p.dtype))
        return bool(length.isfinite())


class ListsOnce(Reference):
    def check(self, setup):
        super().check(setup)
        self.listed = Reference.parameters(self)

    def parameters(self):
        return getattr(self, "listed", None) or super().parameters()


class HoldsData(Reference):
    """Perturbs the tensors that were under the parameters at construction."""

    def check(self, setup):
        super().check(setup)
        self.data = {p: p.data for group in self.optimizer.param_groups for p in group["params"]}

    @torch.no_grad()
    def perturb(self, saved):
        gradients = [p.grad for p in saved]
        length = self.norm(None, gradients) + self.epsilon()
        for p in saved:
            self.data[p].add_(p.grad.to(self.data[p].dtype), alpha=self.radius(p) / length)
        return True


class RestoresWhatHasAGradient(Reference):
    def restore(self, saved):
        super().restore({p: value for p, value in saved.items() if p.grad is not None})


class KeepsRecords(Reference):
    records: dict[Tensor, Tensor]

    def save(self, parameters):
        self.records = {**getattr(self, "records", {}), **super().save(parameters)}
        return {p: self.records[p] for p in parameters}

    def restore(self, saved):
        super().restore(self.records)


class NormPerTensor(Reference):
    def norm(self, p, gradients):
        return float(p.grad.norm())


class HalvesTheRadius(Reference):
    def radius(self, p):
        return super().radius(p) / 2


class IgnoresGroups(Reference):
    def radius(self, p):
        return self.rho


class IgnoresOverflow(Reference):
    def spoil(self):
        pass


class RefusesNothing(Reference):
    def refuse(self, *_):
        pass


class Asserts(Reference):
    def check(self, setup):
        assert self.rho >= 0
        super().check(setup)


class LeavesCopiesInState(Reference):
    def save(self, parameters):
        saved = super().save(parameters)
        for p, value in saved.items():
            self.optimizer.state[p]["old_p"] = value
        return saved


class StepsTwice(Reference):
    def step(self, closure):
        self.optimizer.step()
        return super().step(closure)


class ReturnsTheLastLoss(Reference):
    def step(self, closure):
        losses = [closure() for _ in self.passes()]
        self.optimizer.step()
        return losses[-1]


class SharesNoGroups(Reference):
    """Schedules are written into a wrapper's own groups."""

    def guard(self):
        super().guard()
        self.frozen = {id(group): group["lr"] for group in self.optimizer.param_groups}
        self.optimizer.register_step_pre_hook(self.reset)

    def reset(self, *_):
        for group in self.optimizer.param_groups:
            group["lr"] = self.frozen.get(id(group), group["lr"])


class Compiles(Reference):
    """A number that changes from step to step and that the model's forward reads."""

    def passes(self):
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.eps *= 1.0000001
        yield from super().passes()


class WaitsForRankZero(Reference):
    def perturb(self, saved):
        if dist.is_initialized() and dist.get_rank() == 0:
            dist.barrier()
        return super().perturb(saved)


class CountsRowsTwice(Reference):
    """The norm of a sparse gradient over its entries as they came, repeated ones apart."""

    def refuse_sparse(self, parameters):
        pass

    def norm(self, p, gradients):
        return super().norm(p, [g._values() if g.is_sparse else g for g in gradients])


class AlwaysMoves(Reference):
    def radius(self, p):
        return max(super().radius(p), 0.01)


class DoesNotNormalize(Reference):
    def perturb(self, saved):
        with torch.no_grad():
            for p in saved:
                p.add_(p.grad, alpha=self.radius(p))
        return True


class ClimbsTheLoss(Reference):
    def passes(self):
        yield from super().passes()
        for p in self.with_gradient():
            p.grad.neg_()


class CallsTheModel(Reference):
    def guard(self):
        super().guard()
        self.inputs = None
        self.model.register_forward_pre_hook(self.note)

    def note(self, module, inputs):
        self.inputs = inputs

    def statistics(self):
        statistics = super().statistics()
        if self.inputs is not None:
            with torch.no_grad():
                self.model(*self.inputs)
        return statistics


@dataclass(frozen=True)
class Mutant:
    method: type[Reference]
    breaks: str  # the rows that must fail, and no others
    adapter: type[Passes] = Passes

    def __str__(self) -> str:
        return (self.method if self.adapter is Passes else self.adapter).__name__

    def make(self, setup: Setup) -> Passes:
        return self.adapter(self.method(setup), Claims(formula=textbook.sam))


MUTANTS = (
    Mutant(Subtracts, "1"),
    Mutant(NeedsGradients, "22 23a 23b 24"),
    Mutant(TouchesStatisticsTwice, "47a 47b 47c 47d"),
    Mutant(FreezesByMomentum, "47a 47b 47c 47d"),
    Mutant(NeverReleasesStatistics, "37 47a 47b 47c 47d"),
    Mutant(SavesNoState, "50a 50b"),
    Mutant(NoEpsilon, "26"),
    Mutant(NoFinally, "35a 35b"),
    Mutant(PerturbsAlongDecay, "4 8"),
    Mutant(AcceptsHalf, "57"),
    Mutant(NormInHalf, "57 58 59"),
    Mutant(ListsOnce, "25"),
    Mutant(HoldsData, "30a 30b 51a 51b"),
    Mutant(RestoresWhatHasAGradient, "21"),
    Mutant(KeepsRecords, "24 54"),
    Mutant(NormPerTensor, "4 27 29"),
    Mutant(HalvesTheRadius, "3 4 27 29"),
    Mutant(IgnoresGroups, "29"),
    Mutant(IgnoresOverflow, "32"),
    Mutant(RefusesNothing, "36a 36b"),
    Mutant(Asserts, "38"),
    Mutant(LeavesCopiesInState, "50b 52 54"),
    Mutant(StepsTwice, "67"),
    Mutant(ReturnsTheLastLoss, "68"),
    Mutant(SharesNoGroups, "53"),
    Mutant(Compiles, "70"),
    Mutant(CountsRowsTwice, "28"),
    Mutant(AlwaysMoves, "2"),
    Mutant(DoesNotNormalize, "3 4 27 29 56"),
    Mutant(ClimbsTheLoss, "2 3 4 10 27 29"),
    Mutant(CallsTheModel, "69"),
    Mutant(Reference, "9", ForgetsAStep),
    Mutant(Reference, "39", StopsAtZero),
    Mutant(Reference, "45", ClipsEarly),
    Mutant(Reference, "55", CountsTwice),
    Mutant(Reference, "42", KeepsTheLastPiece),
)


def subject(method: Reference) -> Passes:
    return Passes(method, Claims(formula=textbook.sam))


def reference(setup: Setup) -> Passes:
    return subject(Reference(setup))


def rebinds_data(setup: Setup) -> Passes:
    return subject(RebindsData(setup))


def waits_for_rank_zero(setup: Setup) -> Passes:
    return subject(WaitsForRankZero(setup))

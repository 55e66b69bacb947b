"""pytorch-optimizer's SAM family, called as its docstrings say: the closure clears gradients, forwards, differentiates.

Of SAM, LookSAM and FriendlySAM they say that the gradient must stand before `step(closure)`; WSAM runs the closure for
both passes; GSAM's closure also returns the outputs. BSAM's docstring says nothing about its closure; without a
gradient beforehand its first step raises, so that it gets one.
"""

import torch
from pytorch_optimizer import BSAM, GSAM, SAM, WSAM, FriendlySAM, LookSAM
from pytorch_optimizer.lr_scheduler import ProportionScheduler

from samnesia.conformance import Claims, Closure, TwoStep, textbook


class ClosureOrHalves(Closure):
    """By closure, as documented; under a GradScaler, which refuses closures, by the two steps beneath."""

    def scaled_step(self, differentiate, scaler):
        TwoStep(self.optimizer).scaled_step(differentiate, scaler)


def sam(setup):
    optimizer = SAM(setup.params, setup.optimizer, rho=setup.rho, **setup.options)
    return ClosureOrHalves(optimizer, Claims(formula=textbook.sam), gradient_first=True)


class GSAMClosure(Closure):
    """GSAM runs its closure without gradients being enabled, and wants (outputs, loss) of it."""

    def step(self, differentiate, *, final=lambda: None):
        calls = 0

        def closure():
            nonlocal calls
            self.optimizer.base_optimizer.zero_grad()
            calls += 1
            with torch.enable_grad():
                loss = differentiate(calls - 1)
            final()
            return None, loss

        self.optimizer.step(closure)
        self.optimizer.zero_grad()
        self.optimizer.update_rho_t()

    def closure_step(self, closure):
        def with_outputs():
            with torch.enable_grad():
                return None, closure()

        return self.optimizer.step(with_outputs)[1]


ONE_RADIUS = "one radius for all groups, from a schedule, by design"
BY_HAND = "has parts of a step that can be called by hand, which was not tried"
UNTRIED = dict.fromkeys(("32", "33", "56", "72"), BY_HAND)


def gsam(setup):
    base = setup.base()
    schedule = torch.optim.lr_scheduler.ConstantLR(base, factor=1.0)
    radius = ProportionScheduler(schedule, max_lr=1.0, max_value=setup.rho, min_value=setup.rho)
    claims = Claims(
        formula=textbook.gsam,
        copies=2,
        without={
            "29": ONE_RADIUS,
            "38": "takes its radius from a schedule object",
            "60": "decomposes the gradient on each rank before averaging, as its authors do",
            **UNTRIED,
        },
    )
    return GSAMClosure(GSAM(setup.params, base, setup.model, radius), claims)


def wsam(setup):
    optimizer = WSAM(setup.model, setup.params, setup.optimizer, rho=setup.rho, **setup.options)
    claims = Claims(copies=2, without={"45": "clips by an argument of its own, max_norm"})
    return ClosureOrHalves(optimizer, claims)


def looksam(setup):
    optimizer = LookSAM(setup.params, setup.optimizer, rho=setup.rho, **setup.options)
    return ClosureOrHalves(optimizer, Claims(copies=3, kept=1), gradient_first=True)


def friendly_sam(setup):
    optimizer = FriendlySAM(setup.params, setup.optimizer, rho=setup.rho, **setup.options)
    return ClosureOrHalves(optimizer, Claims(copies=2, kept=1), gradient_first=True)


def bsam(setup):
    options = {name: value for name, value in setup.options.items() if name != "momentum"}
    optimizer = BSAM(setup.params, num_data=1000, rho=setup.rho, **options)
    claims = Claims(
        passes=3,
        has_base=False,
        copies=3,
        kept=3,
        without={
            "26": "adds noise whatever the gradient is",
            "45": "has an update rule of its own, of which clipping bounds no norm",
            **UNTRIED,
        },
    )
    return Closure(optimizer, claims, gradient_first=True)

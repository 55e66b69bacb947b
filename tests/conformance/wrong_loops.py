"""Mistakes of the loop around a right method."""

from samnesia.conformance import Passes


class ForgetsAStep(Passes):
    """The tenth step is a plain one."""

    steps = 0

    def step(self, differentiate, *, final=lambda: None):
        self.steps += 1
        if self.steps != 10:
            return super().step(differentiate, final=final)
        differentiate(0)
        self.optimizer.step()
        self.optimizer.zero_grad()


class StopsAtZero(Passes):
    """`if loss:` takes a loss of zero for none."""

    def step(self, differentiate, *, final=lambda: None):
        passes = self.method.passes()
        for index in passes:
            if not differentiate(index):
                passes.close()
                return
        final()
        self.optimizer.step()
        self.optimizer.zero_grad()


class ClipsEarly(Passes):
    def step(self, differentiate, *, final=lambda: None):
        for index in self.method.passes():
            differentiate(index)
            if index == 0:
                final()
        self.optimizer.step()
        self.optimizer.zero_grad()


class CountsTwice(Passes):
    """A second call of step, without gradients, moves nothing; whoever counts sees it."""

    def step(self, differentiate, *, final=lambda: None):
        super().step(differentiate, final=final)
        self.optimizer.step()


class KeepsTheLastPiece(Passes):
    """The gradient of the last piece alone, as where zero_grad slips into an accumulation."""

    def step(self, differentiate, *, final=lambda: None):
        hooks = [p.register_hook(self.replace(p)) for p in self.method.parameters()]
        super().step(differentiate, final=final)
        for hook in hooks:
            hook.remove()

    @staticmethod
    def replace(p):
        def hook(gradient):
            p.grad = None
            return gradient

        return hook

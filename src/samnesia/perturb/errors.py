"""Every exception and warning of the library, in one tree.

::

    SamnesiaError
    ├── ConfigurationError (ValueError)      a value that no method can run with
    ├── UnsupportedError (TypeError)         model, optimizer or tensor of a kind that cannot be perturbed
    ├── RunStopped                           a training run that was asked to stop, and can go on
    └── PassesError (RuntimeError)           passes() used in a way that would train something else than asked
        ├── NoGradientError                  a pass ended without a gradient
        ├── ObjectiveNotUsedError            an ascent pass whose objective was never evaluated
        ├── StaleGradientError               the gradient of the last step, or an accumulated one, is in the way
        └── PassesOpenError                  step, state_dict, a second flow … while weights are perturbed

    SamnesiaWarning (UserWarning)
    ├── UnfinishedPassesWarning              a flow was left after its last gradient: the step is lost
    ├── IdleScheduleWarning                  a schedule that never fires
    ├── UnseenWrapperWarning                 several processes, but no wrapper that averages gradients was found
    ├── UnperturbedParametersWarning         trainable parameters that the optimizer does not hold
    ├── DamagedCheckpointWarning             a checkpoint that cannot be used; the one before it is
    ├── DamagedSampleWarning                 a sample that cannot be decoded, and is left out
    ├── RecordingWarning                     a measure along a run that could not be taken
    └── TrainingCollapsedWarning             a run that ended near chance
"""


class SamnesiaError(Exception):
    """Root of all errors raised by samnesia."""


class ConfigurationError(SamnesiaError, ValueError):
    """A value that no method can run with."""


class UnsupportedError(SamnesiaError, TypeError):
    """A model, optimizer or tensor of a kind that cannot be perturbed."""


class PassesError(SamnesiaError, RuntimeError):
    """`passes()` was used in a way that would train something else than asked."""


class NoGradientError(PassesError):
    """A pass ended and no parameter had received a gradient."""


class ObjectiveNotUsedError(PassesError):
    """An ascent pass ended without its objective having been evaluated."""


class StaleGradientError(PassesError):
    """The gradient of the last step still stands in `p.grad`, or an accumulated one where a closure owns it."""


class PassesOpenError(PassesError):
    """Something that needs the true weights was asked for while a flow of passes is open."""


class RunStopped(SamnesiaError):  # noqa: N818 (no error: it was asked for)
    """A training run was asked to stop, and has written a checkpoint to go on from."""


class SamnesiaWarning(UserWarning):
    """Root of all warnings issued by samnesia."""


class UnfinishedPassesWarning(SamnesiaWarning):
    """A flow was left after the gradient of its last pass, so that the step was discarded."""


class IdleScheduleWarning(SamnesiaWarning):
    """A schedule that never fires within the given number of steps."""


class UnseenWrapperWarning(SamnesiaWarning):
    """Several processes are running, but the model given is not the wrapper that averages gradients."""


class UnperturbedParametersWarning(SamnesiaWarning):
    """The model has trainable parameters that the method's optimizer does not hold."""


class DamagedCheckpointWarning(SamnesiaWarning):
    """A checkpoint is truncated or altered, and the one before it is used."""


class DamagedSampleWarning(SamnesiaWarning):
    """A sample of the data set cannot be decoded, and is left out."""


class RecordingWarning(SamnesiaWarning):
    """A measure along a run could not be taken; the run goes on without it."""


class TrainingCollapsedWarning(SamnesiaWarning):
    """A training run ended near chance, usually because the radius is too large."""

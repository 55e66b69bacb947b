"""All oracles of the family, with the settings that tests use. rho comes with the `Run` (settings.py makes one).

`PROBLEMS` names the methods that need a problem of their own to be told apart from simpler ones; `DRAWS` says what
`Run.draws` holds for the methods that read it; "saf" reads `Run.samples` (`visits` of driver.py makes some).
`UNVERIFIED` names the methods whose formula methods.md marks so, or does not give in full.
"""

from __future__ import annotations

from typing import Any

from tests import oracles as o
from tests.family import cheaper as c
from tests.family import directions as d
from tests.family import rules as r
from tests.family import stepping as s
from tests.family.driver import Method, Oracle, ball, nothing, of, on
from tests.family.networks import normalized
from tests.mutations import ETA, RHO

__all__ = ["DRAWS", "ETA", "ORACLES", "PROBLEMS", "RHO", "UNVERIFIED"]

STEPS = 10  # over which AE-SAM's threshold falls
ASCENT_STEPS = 3
INNER, SLOW = 3, 0.3  # Lookbehind's k and a
SYNC, SYNC_SHARE = 3, 0.3  # Lookahead's k and a
SHRINK, SHRINK_RATE = 0.01, 0.1  # s; or s at this learning rate, proportional elsewhere
INTERVAL, LATE = 3, 7  # perturbed at steps 0, 3, 6, 9; from step 7 on
LOOK_EVERY, LOOK_SHARE = 3, 0.7
AE_DELTA, AE_FIRST, AE_LAST = 0.5, 1.0, -1.0  # lambda_2 at step 0, lambda_1 at step STEPS
BETA, SAMPLES_SHARE = 0.6, 0.45  # ESAM; 0.45 of ten samples are five
DISTILL, TAU = 0.8, 5.0  # lambda and temperature of MESA and SAF
MESA_DECAY, MESA_START = 0.6, 3
SAF_VISITS, SAF_START = 2, 7
FRIENDLY_SIGMA, FRIENDLY_DECAY = 0.9, 0.7
THETA = 0.3  # VaSSO
OUTLIERS = 0.25  # ZSharp; its paper 0.05
EIGEN = 0.2
SPARSITY, MASK_EVERY = 0.6, 4
DAMPING = 0.01
SIGMA = 0.08  # LE-SAM
RWP_SHARE = 0.4
GAMMA = 0.8  # WSAM
PENALTY = 0.7
TAIL = (0.0, 1.0, 0.0)  # ImbSAM: class 1 is the tail
CLASS_SHARES, FOCAL_GAMMA, FOCAL_SHARE = (0.5, 0.3, 0.2), 2.0, 0.8
FOCAL = r.focal_weights(CLASS_SHARES, FOCAL_GAMMA)

STEPPING: dict[str, Oracle] = {
    "multi-step sam": Method(epsilon=s.several(ASCENT_STEPS)),
    "iterated obf": Method(epsilon=s.several(ASCENT_STEPS, objective=o.obf())),
    "lookbehind sam": s.Lookbehind(INNER, share=s.static(SLOW)),
    "lookbehind asam": s.Lookbehind(INNER, o.asam(eta=ETA), share=s.static(SLOW)),
    "lookbehind sam adaptive": s.Lookbehind(INNER, share=s.adaptive_by_tensor),
    "lookbehind asam adaptive": s.Lookbehind(INNER, o.asam(eta=ETA), share=s.adaptive_by_tensor),
    "lookbehind sam adaptive global": s.Lookbehind(INNER, share=s.adaptive_globally),
    "lookbehind sam reused": s.Lookbehind(INNER, ascent=s.reused, share=s.static(SLOW)),
    "lookbehind asam reused": s.Lookbehind(INNER, o.asam(eta=ETA), s.reused, s.static(SLOW)),
    "lookahead": Method(epsilon=nothing, after=s.lookahead(SYNC, SYNC_SHARE)),
    "lookahead sam": Method(after=s.lookahead(SYNC, SYNC_SHARE)),
    "shrink and perturb": Method(epsilon=nothing, after=s.shrink(lambda lr: SHRINK)),
    "shrink and perturb by rate": Method(epsilon=nothing, after=s.shrink(lambda lr: SHRINK * lr / SHRINK_RATE)),
}
CHEAPER: dict[str, Oracle] = {
    "interval sam": Method(epsilon=on(lambda step: step % INTERVAL == 0, ball(o.sam))),
    "late sam": Method(epsilon=on(lambda step: step >= LATE, ball(o.sam))),
    "looksam": Method(
        epsilon=on(lambda step: step % LOOK_EVERY == 0, ball(o.sam)), combine=c.looksam(LOOK_EVERY, LOOK_SHARE)
    ),
    "ae-sam": Method(epsilon=c.ae_sam(AE_DELTA, c.linear(AE_FIRST, AE_LAST, STEPS))),
    "esam weights": Method(epsilon=c.stochastic_weights(BETA)),
    "esam weights by tensor": Method(epsilon=c.stochastic_weights(BETA)),
    "esam samples": Method(descent=c.sensitive_samples(SAMPLES_SHARE)),
    "esam": Method(epsilon=c.stochastic_weights(BETA), descent=c.sensitive_samples(SAMPLES_SHARE)),
    "msam": Method(ascent=c.unused, epsilon=c.momentum()),
    "mesa": Method(
        ascent=c.unused,
        epsilon=nothing,
        descent=c.mesa(DISTILL, TAU, MESA_START),
        after=c.moving_average(MESA_DECAY),
    ),
    "saf": Method(ascent=c.unused, epsilon=nothing, descent=c.saf(DISTILL, TAU, SAF_VISITS, SAF_START)),
}
DIRECTIONS: dict[str, Oracle] = {
    "friendly sam": Method(epsilon=d.friendly(FRIENDLY_SIGMA, FRIENDLY_DECAY)),
    "vasso": Method(epsilon=d.vasso(THETA)),
    "gcsam": Method(epsilon=d.following(d.centralized), combine=r.through(d.centralized)),
    "zsharp": Method(epsilon=d.following(d.outliers(OUTLIERS))),
    "eigen-sam": Method(epsilon=d.eigen(EIGEN)),
    "sparse sam": Method(epsilon=d.fisher_mask(SPARSITY, MASK_EVERY)),
    "sam-on": Method(epsilon=d.sam_on()),
    "asam-on": Method(epsilon=d.asam_on(ETA)),
    "fisher sam": Method(epsilon=d.fisher(DAMPING)),
    "le-sam": Method(epsilon=d.le_sam(SIGMA)),
    "layer ball": Method(epsilon=d.relative(d.tensor_norms)),
    "filter ball": Method(epsilon=d.relative(d.filter_norms)),
    "linf": Method(epsilon=ball(o.linf())),
}
RULES: dict[str, Oracle] = {
    "rwp": Method(epsilon=d.random_weights(), combine=r.rwp(RWP_SHARE)),
    "wsam": Method(combine=r.wsam(GAMMA)),
    "wsam decoupled": Method(combine=r.clean_and_kept, after=r.sharpness(GAMMA)),
    "stable sam": Method(combine=r.rescaled),
    "gradient-norm penalty": Method(combine=r.penalty(PENALTY)),
    "functional sam": Method(descent=r.functional),
    "imbsam": Method(of(r.weighted(TAIL)), descent=r.of_classes(TAIL), combine=r.with_remainder(TAIL)),
    "focal-sam": Method(
        of(r.weighted(FOCAL)), descent=r.of_classes(FOCAL), combine=r.with_remainder(FOCAL, FOCAL_SHARE)
    ),
}
ORACLES: dict[str, Oracle] = STEPPING | CHEAPER | DIRECTIONS | RULES

NORMALIZED = normalized(4, 5, 3)
CONVOLUTION = o.convolution(filters=3, classes=3)
PROBLEMS: dict[str, Any] = {
    "sam-on": NORMALIZED,
    "asam-on": NORMALIZED,
    "gcsam": CONVOLUTION,
    "layer ball": CONVOLUTION,
    "filter ball": CONVOLUTION,
    "rwp": CONVOLUTION,
}
DRAWS: dict[str, str] = {
    "esam weights": "mask of zeros and ones, by entry",
    "esam weights by tensor": "mask of zeros and ones, by tensor",
    "esam": "mask of zeros and ones, by entry",
    "eigen-sam": "top eigenvector, of length 1",
    "rwp": "standard normal",
}
UNVERIFIED = {
    "iterated obf": "an assumption (methods.md 13.4): Algorithm A.1 could not be read",
    "lookahead": "named, not written out",
    "lookahead sam": "named, not written out",
    "lookbehind sam adaptive global": "an option of this project",
    "sparse sam": "marked unverified",
    "fisher sam": "marked unverified",
    "linf": "marked unverified",
    "layer ball": "a rule of this project",
    "filter ball": "a rule of this project",
    "gradient-norm penalty": "no row",
    "eigen-sam": "length and sign of what is added are not said",
}

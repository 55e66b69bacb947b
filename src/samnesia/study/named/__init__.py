"""Studies with names: ``samnesia study NAME``."""

from samnesia.study.named import ascent_direction as ascent_direction
from samnesia.study.named import bias as bias
from samnesia.study.named import cost as cost
from samnesia.study.named import epochs as epochs
from samnesia.study.named import federated as federated
from samnesia.study.named import flatness as flatness
from samnesia.study.named import forgetting as forgetting
from samnesia.study.named import label_noise as label_noise
from samnesia.study.named import late_adversarial as late_adversarial
from samnesia.study.named import late_phase as late_phase
from samnesia.study.named import lifelong as lifelong
from samnesia.study.named import m_sharpness as m_sharpness
from samnesia.study.named import multi_step as multi_step
from samnesia.study.named import problems as problems
from samnesia.study.named import robustness as robustness
from samnesia.study.named import scale_invariance as scale_invariance
from samnesia.study.named import subspaces as subspaces
from samnesia.study.named import text_tuning as text_tuning
from samnesia.study.named import transfer as transfer
from samnesia.study.named import unnormalized as unnormalized
from samnesia.study.named import vani as vani
from samnesia.study.named import widths as widths
from samnesia.study.named.registry import STUDIES, NamedStudy, find_study, named

__all__ = ["STUDIES", "NamedStudy", "find_study", "named"]

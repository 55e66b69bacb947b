"""Adversaries: small changes of the pixels that raise the loss most, for evaluation and for adversarial training."""

from samnesia.adversaries.attack import Attack, fgsm, pgd
from samnesia.adversaries.norms import L2, NORMS, Linf, Norm
from samnesia.adversaries.worst import Found, Losses, blind, worst

__all__ = ["L2", "NORMS", "Attack", "Found", "Linf", "Losses", "Norm", "blind", "fgsm", "pgd", "worst"]

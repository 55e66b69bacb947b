"""Lifelong learning: one task after the other, each a run of the trainer from the weights of the last one."""

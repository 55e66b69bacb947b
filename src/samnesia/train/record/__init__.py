"""Measures along training: what a run records beside its log, and how the records are read again."""

"""Data sets, label noise, and the numbers they are drawn with."""

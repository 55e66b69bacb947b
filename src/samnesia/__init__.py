"""Samnesia: sharpness-aware minimization for PyTorch, and the laboratory around it."""

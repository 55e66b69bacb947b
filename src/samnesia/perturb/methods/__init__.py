"""Presets: the methods of the papers as choices of parts, one file per family."""

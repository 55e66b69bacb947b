"""Training by recipe: configuration, loop, and what a run leaves on disk."""

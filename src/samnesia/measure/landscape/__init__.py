"""The loss around and between models: lines, planes, trajectories, the way from one run to another, and escape."""

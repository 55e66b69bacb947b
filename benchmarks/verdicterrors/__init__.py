"""Studies with a planted truth: how often verdicts, and rival ways to interpret the same runs, are wrong."""

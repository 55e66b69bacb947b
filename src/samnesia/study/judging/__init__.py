"""What the runs say: estimates with intervals, verdicts on hypotheses, the power to reach them."""

"""What generalizes: accuracy beyond the test split, of runs, checkpoints and pretrained models."""

"""Models to train: small reference nets."""

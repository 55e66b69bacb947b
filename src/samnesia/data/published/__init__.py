"""Data sets of others that a trained model is evaluated on, in the formats in which their authors publish them."""

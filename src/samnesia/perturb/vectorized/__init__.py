"""m-sharpness with its micro-batches side by side."""

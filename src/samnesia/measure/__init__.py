"""What a model is like, and which measure of it ranks models as their accuracy does."""

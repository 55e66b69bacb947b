"""How a method runs: the passes of a step, what is set aside for them and put back."""

"""The step-cost benchmark: what each method adds to the forward-backward passes and the base step it is made of."""

"""The method core: five parts (ball, objective, ascent, rule, when and rho) and the flow of passes."""

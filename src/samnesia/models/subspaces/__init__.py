"""Network subspaces: lines, curves and simplexes of weights that are trained as one (Wortsman et al., ICML 2021)."""

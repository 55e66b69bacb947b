"""Curvature of the loss: eigenpairs, trace, Frobenius norm and spectral density of its second derivatives.

Every figure stands on one product of a matrix with a vector (:mod:`operators`), which is one pass over the batches.
"""

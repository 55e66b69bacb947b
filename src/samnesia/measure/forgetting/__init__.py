r"""What a perturbation makes a model forget: a reconstruction of the study of Vani et al. (ICML 2024).

**The original estimator of forgetting was never published; everything here is a reconstruction** (methods.md §13): five
kinds of estimate, named E1 to E5 there, that are reported together, none of them chosen afterwards. docs/forgetting.md
explains them, their biases and their assumptions.

For a sample x with label y, p(·|x) are the predicted probabilities at the weights w or, perturbed, at w + e; p̄ is their
mean over samples, p̄_y that over the samples of a class. Each information is a mean over samples of a *pointwise* one:

==========================  =====================  ======================================
E1 output information       I(X;Ŷ)                 KL(p(·|x) ‖ p̄)
E2 superfluous information  I(X;Ŷ|Y)               KL(p(·|x) ‖ p̄_y)
   useful information       I(Ŷ;Y)                 the difference of the two (chain rule)
E3 functional change        mean KL(p_w ‖ p_w+e)   and the change of accuracy and cross-entropy
E4 input-exposed            ΔCE(P) - ΔCE(T)        P: the batch of the perturbation, T: other training data
==========================  =====================  ======================================

What is *forgotten* of an information is its value at w minus that at w + e. E5 (several seeds) is in
:mod:`samnesia.measure.forgetting.ensemble`, the information of a hidden layer in
:mod:`samnesia.measure.forgetting.hidden`.

Written down before any of it was coded, and tested:

1. At e = 0 all that is forgotten is 0, to the bit.
2. Nothing depends on the order of the samples (split halves: only by their draw), nor on the names of the classes.
3. A constant added to all logits of a sample changes nothing (softmax).
4. Repeating every sample changes no plug-in value.
5. 0 ≤ I(X;Ŷ|Y) ≤ I(X;Ŷ) ≤ log K, 0 ≤ I(Ŷ;Y) ≤ H(Y) (plug-in), and KL ≥ 0.
6. Chain rule: I(X;Ŷ) = I(Ŷ;Y) + I(X;Ŷ|Y), also sample by sample.
7. Exchanging w and w + e turns the sign of what is forgotten.
8. Groups add up: their values, weighted by their shares of the samples, give the whole (but for the ratio and the KL's
   of a group to its own mean, which are not used).
9. Outputs that are the same for all samples hold no information; one-hot outputs that follow the label hold H(Y), all
   of it useful; one-hot outputs that ignore the label hold none that is useful, up to the bias.
10. Bias: the plug-in falls short by Σ_k Var(p_k) / (2 n p̄_k), which is (K - 1) / (2 n) for one-hot outputs (Miller and
    Madow); corrections leave less than that, of order 1 / n².
11. The standard error is that of repeated draws of the samples.
12. Hidden layer: invariant under rotation and shift of the features, and under scaling them together with the noise;
    between its two bounds; 0 for features that do not depend on the sample; at most log n_y.
13. Probing leaves the model, the method, and all random generators as they were, to the bit.
"""

"""Sharpness: how much the loss rises in a ball around the weights, at worst, on average, and per m samples.

The ball is that of training (:class:`samnesia.Ball`): L2 or L∞, with the scaling of SAM, ASAM and its filter- and
layer-wise forms; its scaling is that of the weights themselves, wherever an ascent stands. Public names are
`samnesia.measure.NAME`; docs/sharpness.md says which published protocol is which call.
"""

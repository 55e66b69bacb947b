"""Federated training: clients train a model on samples of their own, a server averages what they send.

On Flower (the extra ``federated``), which is imported only where messages are made or a run begins. docs/federated.md
"""

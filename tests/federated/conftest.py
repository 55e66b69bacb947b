"""Flower is imported once, as a run imports it, before tests that make its messages themselves."""

from samnesia.federated.imports import import_flower

import_flower()

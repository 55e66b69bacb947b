import pytest

from samnesia.conformance.pair import Pair


@pytest.fixture(scope="session")
def pair():
    """Two processes for all tests of this folder."""
    pair = Pair()
    yield pair
    pair.close()

import pytest

from tests.distributed.pair import Pair


@pytest.fixture(scope="session")
def pair():
    """Two processes in one gloo group, for all tests of this folder."""
    pair = Pair()
    yield pair
    pair.close()

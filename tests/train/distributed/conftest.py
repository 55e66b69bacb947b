import pytest

from tests.train.distributed.ranks import Ranks


@pytest.fixture(scope="session")
def ranks():
    """Two processes started by torchrun, for all tests of this folder."""
    ranks = Ranks()
    yield ranks
    ranks.close()

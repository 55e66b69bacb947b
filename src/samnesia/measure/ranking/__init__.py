"""Which measure ranks models as another does: Kendall's tau, its intervals by whole cells, reliability."""

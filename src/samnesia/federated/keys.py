"""Names of what server and clients send each other, and keys of what is drawn."""

WEIGHTS, BUFFERS, CONFIG, METRICS = "weights", "buffers", "config", "metrics"
"""Records of a message."""
SAMPLES, ROUND, SETTINGS = "num-examples", "server-round", "federated"
"""What stands in them: names that Flower knows, but for the last."""
PARTITION_ID, NUM_PARTITIONS = "partition-id", "num-partitions"
"""What a node is told: which part of the samples it has, of how many."""
PARTITION, PARTICIPANTS, CLIENT = 2000, 2001, 2002
"""Second entries of keys, after the seed: what is drawn for the division, for a round, and for a client."""

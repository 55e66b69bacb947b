"""What is missing of a study is run: plan, workers, cells on disk, the tidy table."""

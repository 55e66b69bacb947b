"""Many runs: cells on disk, a process pool, paired statistics and a report to look at."""

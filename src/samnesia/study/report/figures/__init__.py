"""The figures of a report: each is drawn from the table of runs."""

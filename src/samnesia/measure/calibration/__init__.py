"""Whether a classifier's confidence is right, and how far its labels are ahead."""

"""What cells of named studies do, where it is more than one training: retraining, chains, looks of their own."""

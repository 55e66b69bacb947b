"""Studies of one factor, the method, at equal cost; `samnesia.compare` for any function."""

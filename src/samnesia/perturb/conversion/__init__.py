"""What radii of other libraries are here."""

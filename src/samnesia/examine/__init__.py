"""What ``samnesia measure`` does: trained runs read back, measured part by part, written down and drawn."""

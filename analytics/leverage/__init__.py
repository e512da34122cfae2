"""What could move: to other providers, for those who negotiate prices, and to a tier in between."""

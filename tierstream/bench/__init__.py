"""Measures what tierstream costs and how fast it is, on a stack of its own, beside what the machine allows."""

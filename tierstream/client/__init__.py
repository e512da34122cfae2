"""Producing requests and reading results, as any service could."""

"""The router that keeps a spending target and learns from the outcomes of its own choices."""

"""Bulk requests that a provider answers in batches of its own: who waits, what was submitted, and what came of it."""

"""Settings: what they may be, where they come from, and what is known about models."""

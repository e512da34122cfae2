"""What may be spent: budgets over rolling windows, from a running total that all processes share."""

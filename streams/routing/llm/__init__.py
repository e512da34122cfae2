"""The language model as a classifier: what it is shown, and how its answer is read. Pure; who calls it is elsewhere."""

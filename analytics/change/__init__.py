"""Why the cost changed: two periods compared, and the difference split into effects that add up to it."""

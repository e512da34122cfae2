"""How `evaluate` and `calibrate` go about labelled requests, and what they share for those and for outcomes."""

"""The learned classifier: how much a prompt needs the stronger of two models, trained from labelled outcomes."""

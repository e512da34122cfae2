"""Fitting a learned classifier to labelled outcomes, and measuring it; nothing of it is on a request's way."""

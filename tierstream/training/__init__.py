"""Fitting a learned classifier to labelled outcomes, and measuring it; nothing of it is on a request's way."""


class TrainingError(Exception):
    """The outcomes can't be learned from; the message is one line that says what to do."""

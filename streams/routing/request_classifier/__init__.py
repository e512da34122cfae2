"""The classifier that was trained on labelled requests: a linear model of hashed words and of the form."""

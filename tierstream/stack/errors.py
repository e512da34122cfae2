"""The one exception of the embedded stack."""


class StackError(Exception):
    """The stack can't start or go on; the message is one line that says what is wrong and what to do."""

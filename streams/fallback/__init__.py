"""Which models a task is sent to, in which order, and when no further call may be made."""

"""Paid calls: batched, shared, journalled before and after, priced, and paid once an attempt."""

"""What findings look for: a file a kind, each of which hands over candidates; the report weighs them."""

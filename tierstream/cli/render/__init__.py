"""How what commands found looks on a terminal."""

"""Chat models behind one protocol: a file for each provider's wire format, and a registry that wires them."""

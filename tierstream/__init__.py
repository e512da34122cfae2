"""How you start it: the command line, the embedded stack, the provider simulator and the demo."""

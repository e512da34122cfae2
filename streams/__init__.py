"""How it flows: settings, the stage runtime, routing, providers and settlement."""

"""What recorded requests would have cost under another policy, before it is switched on."""

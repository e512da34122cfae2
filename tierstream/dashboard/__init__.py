"""The dashboard: pages over the roll-ups and the ledger, made on the server and readable without scripts."""

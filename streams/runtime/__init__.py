"""How a stage runs: records in, each handled once at a time, its outputs out, its offset committed."""

"""What it cost: the ledger in ClickHouse, the sink that fills it and the reports that read it."""

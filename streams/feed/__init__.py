"""The demo feed: stands in for the exchange and writes prices, fills and ledger entries to Kafka."""

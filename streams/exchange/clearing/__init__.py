"""The exchange's books: every account booked by the engine's ledger, liquidations executed, the fund, conservation. Pure."""

"""The desk: processes of their own that read Redis and the event topics, answer questions, and never write account state."""

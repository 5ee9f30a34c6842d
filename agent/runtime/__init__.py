"""Acts: feeds the core events, performs its effects, runs kit actions, keeps the durable store."""

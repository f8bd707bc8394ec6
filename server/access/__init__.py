"""Who calls, and what they may do. No HTTP and no model here."""

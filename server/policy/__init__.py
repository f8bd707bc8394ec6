"""Which strength each bundle gets in a request: profiles, toggles and the planner. No HTTP and no model here."""

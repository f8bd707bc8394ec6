"""What the demo model's circuit-scoped breakers do, and what others do that reach the same harm reduction."""

"""The demo's gates judged: their curves and regrets, other classifiers under them, and choices among variants."""

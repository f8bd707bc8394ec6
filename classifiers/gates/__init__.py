"""What a gate does, judged: its curve, its costs on prompts that it was not fitted on, and other classifiers."""

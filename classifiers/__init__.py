"""What judges text: harm potential of prompts, harm scores of replies, and the fitting of the gate."""

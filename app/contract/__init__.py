"""What clients say and hear."""

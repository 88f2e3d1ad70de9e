"""Takes jobs and trains them."""

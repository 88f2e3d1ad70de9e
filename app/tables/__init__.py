"""Rows in: uploads become typed tables, and tables become the numbers that a network is trained on."""

"""How fast Descent is, beside others that do the same work on the same core in the same run: `make bench`."""

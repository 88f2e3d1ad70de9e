"""The service: HTTP in, trained networks out."""

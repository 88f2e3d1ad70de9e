"""`python -m descent`, for where the command `descent` is not installed."""

from descent.cli import main

if __name__ == "__main__":
    main()

"""Asks the API of this machine whether it is alive: `python -m app.health`, for the image's healthcheck.

A bare socket and no settings: it runs every few seconds for ever, and reading the settings alone would cost ten times as much.
"""

import os
import socket
import sys

TIMEOUT_S = 2.0
REQUEST = b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n"


def main() -> int:
    """Give 0 if `/healthz` answers 200."""
    port = int(os.environ.get("DESCENT_PORT", "8000"))
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
            connection.sendall(REQUEST)
            with connection.makefile("rb") as answer:
                return 0 if answer.readline().split()[1:2] == [b"200"] else 1
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main())

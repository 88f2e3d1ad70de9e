"""HTTP words only: routes, headers, status codes."""

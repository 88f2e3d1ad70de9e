"""Models out, in the formats that others read."""

"""Names of stored objects: a prefix and 26 letters that sort by the time of creation."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """Draw an id such as `job_01jc…`: 48 bits of milliseconds since 1970, 80 random bits, in Crockford's base 32."""
    number = (int(time.time() * 1000) & (2**48 - 1)) << 80 | secrets.randbits(80)
    return prefix + "_" + "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))

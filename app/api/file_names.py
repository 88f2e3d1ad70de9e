"""Names of files: what a form calls its file, and what a download is to be called."""

import re
from pathlib import PurePath
from urllib.parse import quote

MAX_LENGTH = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def of_form(sent: str | None) -> str | None:
    """Give the last part of a path, without what no name has; it may be long or odd, since nobody chose it."""
    name = _CONTROL.sub("", (sent or "").replace("\\", "/").rstrip("/").rpartition("/")[2]).strip()
    if len(name) > MAX_LENGTH:
        ending = PurePath(name).suffix[: MAX_LENGTH // 2]
        name = name[: MAX_LENGTH - len(ending)] + ending
    return name or None


def disposition(name: str) -> str:
    """Have a download stored under a name (RFC 6266): as it is, and in ASCII for those that read no other."""
    name = _CONTROL.sub("", name).replace("/", "_").replace("\\", "_")
    plain = re.sub(r'[^ -~]|["%]', "_", name)
    if plain == name:
        return f'attachment; filename="{name}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"

"""`/docs`: the OpenAPI document in Swagger UI, which is served from here, and the problems by their codes."""

from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app import errors

router = APIRouter(include_in_schema=False)

# The viewer sets styles on its elements; scripts are files of ours only, and nothing comes from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)
_FILES = "/vendor/swagger-ui"
_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Descent: API</title>
<link rel="icon" href="/icon.svg">
<link rel="stylesheet" href="{_FILES}/swagger-ui.css">
</head>
<body>
<div id="viewer"></div>
<script src="{_FILES}/swagger-ui-bundle.js"></script>
<script src="/js/docs.js"></script>
</body>
</html>
"""
# Problems that are no class of ours, with what they mean.
_OTHERS = {
    "invalid_json": "The body is not JSON.",
    "invalid_http": "The request is no HTTP, or its first line is longer than 64 KiB.",
    "head_too_large": "First line and headers together are larger than is read.",
    "incomplete_body": "The connection was cut before the end of the body.",
    "invalid_form": "The form of a model cannot be read.",
    "method_not_allowed": "The address does not know this method; `Allow` lists those it knows.",
    "requested_range_not_satisfiable": "The range that was asked for lies outside of the file.",
    "internal_error": "A fault of this service; it is in its log.",
}


@router.get("/docs", response_class=HTMLResponse)
def show_document() -> HTMLResponse:
    """Show the OpenAPI document."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": POLICY})


@router.get("/docs/problems", response_class=HTMLResponse)
def list_problems() -> HTMLResponse:
    """Explain each code of a problem: its `type` leads here."""
    meanings = {**_OTHERS, **_of_classes(errors.DescentError)}
    rows = "\n".join(
        f'<dt id="{escape(code)}"><code>{escape(code)}</code></dt><dd>{escape(meaning)}</dd>'
        for code, meaning in sorted(meanings.items())
    )
    title = "Descent: problems"
    head = f'<meta charset="utf-8"><title>{title}</title><link rel="icon" href="/icon.svg">'
    page = f'<!doctype html>\n<html lang="en"><head>{head}</head><body><h1>Problems</h1>\n<dl>\n{rows}\n</dl></body></html>\n'
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})


def _of_classes(kind: type[errors.DescentError]) -> dict[str, str]:
    """Give what each kind of problem means, by its code."""
    found = {kind.code: (kind.__doc__ or "").splitlines()[0]}
    for narrower in kind.__subclasses__():
        found |= _of_classes(narrower)
    return found

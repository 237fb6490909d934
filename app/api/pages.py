"""`/`: a page for people. `/redoc`: the reference of the API."""

import functools
from importlib.resources import files

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_redoc_html
from fastapi.responses import HTMLResponse, Response

router = APIRouter(include_in_schema=False)

_PAGE = files("app.api").joinpath("static/index.html").read_text(encoding="utf-8")
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"


@router.get("/")
async def home() -> HTMLResponse:
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})


@router.get("/redoc")
async def reference(request: Request) -> HTMLResponse:
    root = request.scope.get("root_path", "")
    return get_redoc_html(
        openapi_url=f"{root}/openapi.json",
        title=request.app.title,
        redoc_js_url=f"{root}/redoc.js",
        redoc_favicon_url=f"{root}/docs/assets/favicon.png",
        with_google_fonts=False,
    )


@router.get("/redoc.js")
async def redoc() -> Response:
    return Response(_redoc(), media_type="text/javascript")


@functools.cache
def _redoc() -> str:
    """ReDoc, without the logo that it fetches from its makers; it hides one that fails to load."""
    script = files("fastapi_offline").joinpath("static/redoc.standalone.js")
    return script.read_text(encoding="utf-8").replace(_LOGO, "data:,")

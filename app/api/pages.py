"""`/`, `/dashboard` and `/review`: pages for people. `/redoc`: the reference of the API."""

import functools
from importlib.resources import files

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_redoc_html
from fastapi.responses import HTMLResponse, Response

router = APIRouter(include_in_schema=False)

_SHARED = {
    "/* style.css */": "style.css",
    "/* page.js */": "page.js",
    "/* charts.js */": "charts.js",
    "<!-- head.html -->": "head.html",
    "<!-- key.html -->": "key.html",
}
"""Placeholders in a page for files that it shares with other pages."""
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"


@router.get("/")
async def home() -> HTMLResponse:
    return _page("index.html")


@router.get("/dashboard")
async def dashboard() -> HTMLResponse:
    """For operators: what happened, and whether it is well."""
    return _page("dashboard.html")


@router.get("/review")
async def review() -> HTMLResponse:
    """For whoever looks at what is unsure."""
    return _page("review.html")


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


def _page(name: str) -> HTMLResponse:
    return HTMLResponse(_whole(name), headers={"Content-Security-Policy": _POLICY})


@functools.cache
def _whole(name: str) -> str:
    """A page with the files that it shares with others filled in."""
    text = _read(name)
    for place, shared in _SHARED.items():
        text = text.replace(place, _read(shared)) if place in text else text
    return text


def _read(name: str) -> str:
    return files("app.api").joinpath("static", name).read_text(encoding="utf-8")


@functools.cache
def _redoc() -> str:
    """ReDoc without the logo that it fetches from its makers; it hides one that fails to load."""
    script = files("fastapi_offline").joinpath("static/redoc.standalone.js")
    return script.read_text(encoding="utf-8").replace(_LOGO, "data:,")

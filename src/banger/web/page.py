"""`/` and `/static/NAME`: the files of the page, which are the same for everybody.

Only files that were there at the start are served, by their own names, so no path leads elsewhere.
"""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from banger.errors import NotFound

FOLDER = Path(__file__).parent / "page"
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
Files = dict[str, Path]


def find_files(folder: Path = FOLDER) -> Files:
    """Return the page's files by their names below its folder."""
    found = (path for path in folder.rglob("*") if path.suffix in TYPES and path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in found}


async def serve_page(request: Request) -> Response:
    """Return a file of the page."""
    path = request.app.state.page.get(request.path_params.get("name", "index.html"))
    if path is None:
        raise NotFound("There is nothing at this address.")
    return FileResponse(path, media_type=TYPES[path.suffix])

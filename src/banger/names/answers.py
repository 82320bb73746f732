"""The front's own answers: a small page that says why a link leads nowhere. Pure.

A page has one sentence, and one command where there is one. Everything in it is escaped, and it
says nothing of other VMs: whoever can connect to this host's loopback can read it.
"""

from __future__ import annotations

from typing import NamedTuple

PHRASES = {
    400: "Bad Request",
    404: "Not Found",
    408: "Request Timeout",
    413: "Content Too Large",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
}

_HTML = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body{{font:1.1em/1.6 sans-serif;margin:15vh auto;max-width:40em;padding:0 1em}}</style>
<h1>{title}</h1>
<p>{fact}</p>
{hint}"""


class Refusal(Exception):
    """A request that leads to no guest, with the status of the answer."""

    def __init__(self, status: int, fact: str, *, hint: str | None = None) -> None:
        super().__init__(fact)
        self.status = status
        self.fact = fact
        self.hint = hint

    @property
    def phrase(self) -> str:
        return PHRASES.get(self.status, "Error")


class Page(NamedTuple):
    """An answer: its fields, in lower case, and its body."""

    fields: list[tuple[str, str]]
    body: bytes


def render_page(refusal: Refusal, *, accept: bytes = b"") -> Page:
    """Return the answer to a request: HTML for a browser, else a line or two of text.

    `accept`: the request's field of that name, by which a browser is told.
    """
    if b"text/html" in accept.lower():
        kind, body = "text/html", _render_html(refusal)
    else:
        hint = f"Try: {refusal.hint}\n" if refusal.hint else ""
        kind, body = "text/plain", f"banger: {refusal.fact}\n{hint}"
    content = body.encode()
    fields = [
        ("content-type", f"{kind}; charset=utf-8"),
        ("content-length", str(len(content))),
        ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
    ]
    return Page(fields, content)


def _render_html(refusal: Refusal) -> str:
    import html  # its table of entities is half a MiB, for a page that is rarely shown

    hint = f"<p>Try: <code>{html.escape(refusal.hint)}</code></p>\n" if refusal.hint else ""
    return _HTML.format(
        title=f"{refusal.status} {refusal.phrase}", fact=html.escape(refusal.fact), hint=hint
    )

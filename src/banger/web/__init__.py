"""The HTTP front: the API for programs by HTTP, and the page for browsers.

A process of its own (`python -m banger.web`, which `banger web` becomes), so that neither the
daemon nor the command line imports a web framework: only this room imports starlette and uvicorn,
of the extra `banger[web]`. It is a client of the daemon like any other and holds no state: tokens
and logins are the daemon's (`token.*`, `login.*`). A method that is declared is served, with the
scope of its declaration.

Browsers run pages of strangers on the same machine, and pages of guests. So every request is
checked before it is routed (`guards`): the Host by a fixed list, against names that are bound to
another address; the Origin and `Sec-Fetch-Site`, against requests of other pages. A page logs in
with a one-time token that comes in the fragment of its address, which no log and no Referer has.

Owns its listening socket and one connection to the daemon for each request. If it dies, requests
in progress are cancelled by the daemon, except those of detached methods; commands that were
started by a terminal end; sessions go on. Nothing is written, and no locks are taken.
"""

"""The page `docs/api.md`, made from the method table.

Field descriptions are read from the sources of the modules that define the types.
`python -m banger.api.reference` prints the page; a test compares it with the file.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator

import msgspec

from banger.api.method import Method
from banger.api.table import METHODS

_INTRODUCTION = """\
# The API

<!-- Made by `python -m banger.api.reference > docs/api.md`; do not edit. -->

JSON-RPC 2.0 on the Unix socket that `banger daemon status` names: one JSON document
per line, at most 8 MiB each. Parameters are always given by name; unknown ones are refused.
Results may gain fields. Several requests may be sent ahead on one connection; they run one
after the other. `banger api-spec` prints the same as an OpenRPC document.

- **Version.** A request may carry the member `client` (next to `method`): the version of
  the client. A daemon of another version answers `version-mismatch` and does nothing;
  `daemon.status` and `daemon.stop` are always answered.
- **Caller.** A request may carry the member `caller`: a table of the client's variables `BANGER_*`,
  `DOCKER_CONFIG`, `SSL_CERT_*` and those of proxies, which hold for this request. Without it
  those of the daemon hold.
- **Progress.** Before the reply may come notifications: `progress` with `operation_id`,
  `stage`, `done`, `total` (both may be null) and, where things go on side by side, `parts`, each
  with `name`, `done` and `total` in bytes; and `note` with `operation_id`, `kind`
  (`spec` or `notice`) and `text`.
- **Stopping.** A daemon that stops sends the notification `goodbye` on connections where no
  request runs: what it has not answered there it has not begun.
- **Cancelling.** Closing the connection cancels what runs on it, except *detached* methods.
  Shutting down only the sending half does not.
- **Errors.** `error.data` has `code` (stable), `hint`, `details`, `operation_id`, `retryable` and
  `exit_code`; `error.message` is one sentence.
- **Streams.** After the reply to a *stream* method the connection carries binary frames;
  `src/banger/api/stream.py` defines them.
- **Scope.** What a token of the [HTTP front](web.md) has to allow; on the socket everything is
  allowed.
- **Bytes.** Arguments and file names that are no UTF-8 are written with lone surrogates
  (`\\udc80` to `\\udcff`), as Python's `surrogateescape` does.
"""


def render_reference() -> str:
    """Return the whole page."""
    parts = [_INTRODUCTION, "## Methods\n"]
    parts += [_render_method(method) for method in METHODS.values()]
    parts.append("## Types\n")
    parts += [_render_type(kind) for kind in _result_types()]
    return "\n".join(parts)


def _render_method(method: Method) -> str:
    flags = ("stream", "takes_input", "detached")
    marks = [flag.replace("_", " ") for flag in flags if getattr(method, flag)]
    title = f"### {method.name}" + (f" ({', '.join(marks)})" if marks else "")
    fields = list(_render_fields(method.params))
    result = f"Result: `{_type_name(method.result)}`; scope: {method.scope.value}\n"
    return "\n".join([title, "", method.doc, "", *fields, *([""] if fields else []), result])


def _render_type(kind: type[msgspec.Struct]) -> str:
    doc = inspect.cleandoc(kind.__doc__ or "")
    # The docstring of a struct without one is its signature, which adds nothing here.
    about = [] if not doc or doc.startswith(f"{kind.__name__}(") else [doc, ""]
    return "\n".join([f"### {kind.__name__}", "", *about, *_render_fields(kind), ""])


def _render_fields(kind: type[msgspec.Struct]) -> Iterator[str]:
    texts = field_texts(kind)
    for item in msgspec.structs.fields(kind):
        text = f": {texts[item.name]}" if item.name in texts else ""
        need = ", required" if item.required else _render_default(item)
        yield f"- `{item.name}` ({_type_name(item.type)}{need}){text}"


def _render_default(item: msgspec.structs.FieldInfo) -> str:
    if item.default is msgspec.NODEFAULT or item.default is None:
        return ""
    return f", default `{item.default}`"


def _type_name(kind: object) -> str:
    """Return the type in Python syntax, without module names."""
    if isinstance(kind, type) and not hasattr(kind, "__args__"):
        return kind.__name__
    return re.sub(r"\b(?:[a-z_]+\.)+", "", str(kind))


def _result_types() -> list[type[msgspec.Struct]]:
    """Return the structs that results contain, in order of first use."""
    params = {method.params for method in METHODS.values()}
    return [kind for kind in _all_types() if kind not in params]


def _all_types() -> list[type[msgspec.Struct]]:
    found: dict[type[msgspec.Struct], None] = {}
    for method in METHODS.values():
        for kind in (method.params, method.result):
            collect_types(kind, found)
    return list(found)


def collect_types(kind: object, found: dict[type[msgspec.Struct], None]) -> None:
    """Add the structs that a type contains, in order of first use."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in found:
        found[kind] = None
        for item in msgspec.structs.fields(kind):
            collect_types(item.type, found)
    for argument in getattr(kind, "__args__", ()):
        collect_types(argument, found)


def field_texts(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Return the docstring of each field, which Python discards at run time."""
    [cls] = ast.parse(inspect.getsource(kind)).body
    assert isinstance(cls, ast.ClassDef)
    [base] = kind.__bases__
    texts = field_texts(base) if msgspec.structs.fields(base) else {}
    for field, below in zip(cls.body, cls.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    texts[field.target.id] = " ".join(text.split())
    return texts


if __name__ == "__main__":
    sys.stdout.write(render_reference())

"""Renders the types of calls from the method table, for type checkers: see `docs.py`.

`api/documents.py` has a TypedDict for each struct of the API, which is what its JSON looks like;
`client/calls.py` has what each method takes and returns.
"""

from __future__ import annotations

import enum
import inspect
import subprocess
import sys
import textwrap
import types
import typing
from collections.abc import Iterator

import msgspec

from banger.api.reference import collect_types, field_texts
from banger.api.table import METHODS

Structs = dict[type[msgspec.Struct], None]

DOCUMENTS = '''"""The JSON of the API's parameters and results, for type checkers.

Made by `make docs` from `banger.api.table`; do not edit. As long as the API has shapes, in one
module because type checkers alone read it. Nothing imports it at run time: that takes longer than
a command.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

'''
CALLS = '''"""What each method of the API takes and returns, for type checkers.

Made by `make docs` from `banger.api.table`; do not edit. As long as the API has methods, in one
module because type checkers alone read it: nothing imports it at run time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, Protocol, TypedDict, Unpack, overload

from banger.api import documents as d
from banger.api.wire import Document
from banger.client.stream import ClientStream

Other = Mapping[str, object]
"""Parameters that were put together at run time; the daemon checks them."""


class CallOptions(TypedDict, total=False):
    """What a client may be told while it waits."""

    on_event: Callable[[str, Document], None] | None
    on_tick: Callable[[], None] | None


'''


def render_documents() -> str:
    """Return the module of TypedDicts."""
    asked: Structs = {}
    for method in METHODS.values():
        collect_types(method.params, asked)
    found = dict(asked)
    for method in METHODS.values():
        collect_types(method.result, found)
    ordered = sorted(found, key=lambda kind: kind.__name__)
    return _format(DOCUMENTS + "\n".join(_render_class(kind, kind in asked) for kind in ordered))


def render_calls() -> str:
    """Return the module of signatures."""
    parts = [
        _render_protocol("Call", "{result}", is_stream=False),
        _render_protocol("AsyncCall", "Awaitable[{result}]", is_stream=False),
        _render_protocol("OpenStream", "ClientStream", is_stream=True),
    ]
    return _format(CALLS + "\n\n".join(parts))


def _render_protocol(name: str, returns: str, *, is_stream: bool) -> str:
    lines = [f"class {name}(Protocol):", f'    """`{name}` of every method, by its name."""']
    for method in METHODS.values():
        if method.stream is is_stream:
            needed = any(each.required for each in msgspec.structs.fields(method.params))
            params = f"d.{method.params.__name__} | Other{'' if needed else ' = ...'}"
            result = returns.format(result=_spell(method.result, prefix="d."))
            lines.append(
                f"    @overload\n    def __call__(self, method: Literal[{method.name!r}], "
                f"params: {params}, **options: Unpack[CallOptions]) -> {result}: ..."
            )
    return "\n".join(lines)


def _render_class(kind: type[msgspec.Struct], is_asked: bool) -> str:
    about = inspect.cleandoc(kind.__doc__ or "")
    if not about or about.startswith(f"{kind.__name__}("):
        about = f"`{kind.__name__}` of the API."
    return f"class {kind.__name__}(TypedDict):\n" + "\n".join(
        [_quote(about), "", *_render_fields(kind, is_asked)]
    )


def _render_fields(kind: type[msgspec.Struct], is_asked: bool) -> Iterator[str]:
    texts = field_texts(kind)
    for each in msgspec.structs.fields(kind):
        spelt = _spell(each.type)
        yield f"    {each.name}: " + (
            f"NotRequired[{spelt}]" if is_asked and not each.required else spelt
        )
        if each.name in texts:
            yield _quote(texts[each.name])


def _quote(text: str) -> str:
    paragraphs = [textwrap.fill(part, 90) for part in text.split("\n\n")]
    quoted = "\n\n".join(paragraphs).replace("\\", "\\\\")
    end = "\n" if "\n" in quoted else ""
    return textwrap.indent(f'"""{quoted}{end}"""', "    ")


def _spell(kind: object, prefix: str = "") -> str:
    """Return the type of a value's JSON, in Python's syntax."""
    kind = getattr(kind, "__supertype__", kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    spelt = [_spell(each, prefix) for each in arguments if each is not ...]
    if origin in (typing.Union, types.UnionType):
        return " | ".join(spelt)
    if origin is not None:
        kinds = ", ".join(spelt) if origin is dict else " | ".join(dict.fromkeys(spelt))
        return f"{'dict' if origin is dict else 'list'}[{kinds}]"
    return _spell_plain(kind, prefix)


def _spell_plain(kind: object, prefix: str) -> str:
    assert isinstance(kind, type), kind
    if issubclass(kind, enum.Enum):
        return f"Literal[{', '.join(repr(each.value) for each in kind)}]"
    if issubclass(kind, msgspec.Struct):
        return prefix + kind.__name__
    return {bytes: "str", type(None): "None"}.get(kind, kind.__name__)


def _format(source: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "-q", "--stdin-filename", "src/x.py", "-"],
        input=source,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout

"""The files of secrets."""

from __future__ import annotations

import contextlib
import os
import threading

import msgspec

from banger.errors import HostFailed, NotFound
from banger.host.files import ensure_private_dir, write_atomic
from banger.layout import Layout
from banger.model.secrets import NAME, BoundSecret, HeldSecrets, Secret
from banger.nearnames import find_near, format_near_hint

SEED_BYTES = 32
_seed_lock = threading.Lock()


def save_secret(layout: Layout, secret: Secret) -> None:
    """Save a secret, in the place of one of the same name."""
    path = ensure_private_dir(layout.secrets) / f"{secret.name}.json"
    write_atomic(path, msgspec.json.encode(secret))


def get_secret(layout: Layout, name: str) -> Secret:
    """Return a secret whose name is valid.

    Raises:
        NotFound: there is none of this name.
        HostFailed: its file is damaged.
    """
    path = layout.secrets / f"{name}.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Secret)
    except FileNotFoundError as error:
        names = [other for other in _list_names(layout) if other != name]  # it was set just now
        near = find_near(name, names)
        setting = f"banger secret set {name} --host HOST"
        hint = f"did you mean {near}? (banger secret list shows all)" if near else setting
        raise NotFound(f"There is no secret {name}.", hint=hint) from error
    except ValueError as error:  # msgspec's, or bytes that are no UTF-8; neither tells a value
        raise HostFailed(
            f"The file of the secret {name} is damaged.",
            hint=f"banger secret set {name} --host HOST",
        ) from error


def list_secrets(layout: Layout) -> list[Secret]:
    """Return all secrets by name.

    Raises:
        HostFailed: a file is damaged.
    """
    found = []
    for name in _list_names(layout):
        with contextlib.suppress(NotFound):  # it was removed just now
            found.append(get_secret(layout, name))
    return found


def _list_names(layout: Layout) -> list[str]:
    if not layout.secrets.is_dir():
        return []
    names = [name for name, end in map(os.path.splitext, os.listdir(layout.secrets)) if end]
    return sorted(name for name in names if NAME.fullmatch(name))


def remove_secret(layout: Layout, name: str) -> None:
    """Remove a secret.

    Raises:
        NotFound: there is none of this name.
    """
    try:
        (layout.secrets / f"{name}.json").unlink()
    except FileNotFoundError as error:
        hint = format_near_hint(name, _list_names(layout), see="banger secret list")
        raise NotFound(f"There is no secret {name}.", hint=hint) from error


def find_bound(layout: Layout, held: HeldSecrets) -> list[BoundSecret]:
    """Return the secrets that a VM has placeholders for; those that were removed are left out."""
    bound = []
    for name, placeholder in held.placeholders.items():
        with contextlib.suppress(NotFound):
            secret = get_secret(layout, name)
            bound.append(BoundSecret(secret=secret, placeholder=placeholder))
    return bound


def load_seed(layout: Layout) -> bytes:
    """Return the random bytes that the keys of authorities are made of; made when first needed."""
    path = ensure_private_dir(layout.secrets) / "seed"
    with _seed_lock:  # threads of one daemon
        if not path.exists():
            write_atomic(path, os.urandom(SEED_BYTES))
        return path.read_bytes()

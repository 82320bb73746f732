"""The signature policy: images without the signature that their repository requires are refused.

    keys of the configuration, signatures in the registry -> openssl -> the key that has signed

Fail closed: whatever cannot be fetched, read or verified is no signature. The signature must be of
the digest that the reference was resolved to (the index's, which names the manifest's, or the
manifest's own), and of the same repository, so that what a key has signed for one is not served
as another. Which tag an image has is not signed: an older one that was signed passes.

Verified by the `openssl` program (ADR 0042), in a staging directory that holds key and signature
for a moment. No locks but L4 with a payload's digest, by `fetch`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from msgspec import Struct

from banger.errors import (
    ImageInvalid,
    ImageNotFound,
    ImageUnsupported,
    ImageUntrusted,
    ReferenceInvalid,
    RegistryMisbehaved,
)
from banger.host import programs
from banger.host.files import staged_dir
from banger.host.setup import require_programs
from banger.images.content import Descriptor
from banger.images.registry.reference import Reference, parse_reference
from banger.images.registry.repository_client import RepositoryClient
from banger.images.signature import (
    PublicKey,
    Signature,
    Signed,
    load_key,
    parse_payload,
    parse_signatures,
    signature_tag,
)

OPENSSL_DEADLINE_S = 30.0
HINT = "banger config show (registries: signed_by)"

Fetch = Callable[[Descriptor], Awaitable[Path]]


class Policy(Struct, frozen=True, kw_only=True):
    """Who may have signed an image, and what its signature must be of."""

    reference: Reference
    digests: tuple[str, ...]
    """Of what the reference means: any of them is as good as the others."""
    keys: tuple[PublicKey, ...]


def load_keys(names: Sequence[str]) -> tuple[PublicKey, ...]:
    """Return the keys in these files, before anything is asked of a registry. For threads.

    Raises:
        ConfigInvalid: one of them cannot be used.
        ToolMissing: there is nothing to verify with.
    """
    require_programs("openssl")
    return tuple(load_key(name) for name in names)


async def require_signature(
    repository: RepositoryClient, policy: Policy, *, fetch: Fetch, staging: Path
) -> PublicKey:
    """Return the key that has signed an image.

    Raises:
        ImageUntrusted: none has.
        RegistryDenied, RegistryUnreachable: of the registry.
    """
    name = policy.reference.familiar
    try:
        signatures = await _find_signatures(repository, policy)
        reasons = []
        for signature in signatures:
            payload = await asyncio.to_thread((await fetch(signature.payload)).read_bytes)
            for key in policy.keys:
                if await _is_by(key, payload, signature, staging):
                    reason = _compare(parse_payload(payload), policy)
                    if reason is None:
                        return key
                    reasons.append(reason)
    except (ImageInvalid, ImageUnsupported, RegistryMisbehaved) as error:
        raise ImageUntrusted(
            f"The signatures of {name} cannot be used. {error.message}", hint=HINT
        ) from error
    if reasons:
        raise ImageUntrusted(f"{name} is not signed: {reasons[0]}.", hint=HINT)
    raise ImageUntrusted(f"{name} is signed, but not with a key in the configuration.", hint=HINT)


async def _find_signatures(repository: RepositoryClient, policy: Policy) -> list[Signature]:
    """Return all signatures of the digests."""
    found: list[Signature] = []
    for digest in policy.digests:
        try:
            document = await repository.fetch_manifest(signature_tag(digest))
        except ImageNotFound:
            continue
        found += parse_signatures(document.untrusted)
    if not found:
        raise ImageUntrusted(
            f"{policy.reference.familiar} is not signed, and the configuration requires a "
            "signature.",
            hint=f"cosign sign --key KEY {policy.reference.pin(policy.digests[0])}",
        )
    return found


async def _is_by(key: PublicKey, untrusted: bytes, signature: Signature, staging: Path) -> bool:
    """Tell whether a key has signed these bytes."""
    with staged_dir(staging, prefix="signature") as folder:
        (folder / "key").write_bytes(key.pem)
        (folder / "signature").write_bytes(signature.der)
        argv = ["openssl", "dgst", "-sha256", "-verify", str(folder / "key")]
        argv += ["-signature", str(folder / "signature")]
        # 1 is a signature that is another's, or none at all.
        done = await programs.run(argv, deadline_s=OPENSSL_DEADLINE_S, stdin=untrusted, ok=(0, 1))
    return done.status == 0


def _compare(signed: Signed, policy: Policy) -> str | None:
    """Return why what was signed is not this image; None if it is."""
    if signed.digest not in policy.digests:
        return f"the signature found is for another image, {signed.digest}"
    try:
        named = parse_reference(signed.name)
    except ReferenceInvalid as error:
        return f"its signature does not name an image of a registry: {error.message}"
    wanted = policy.reference
    if (named.registry, named.repository) != (wanted.registry, wanted.repository):
        return f"its signature is for {named.registry}/{named.repository}"
    return None

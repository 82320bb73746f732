"""Retries: which requests to a registry are repeated, when, and how often.

Only errors that say so (`retryable`) are tried again: broken connections, silence, 408, 429 and
5xx. A registry's Retry-After is kept up to `RETRY_AFTER_MAX_S`; a longer one ends the request at
once. The deadline of everything together is the caller's.
"""

from __future__ import annotations

import asyncio
import email.utils
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from banger.errors import RegistryUnreachable

log = logging.getLogger(__name__)

TRIES = 5
FIRST_DELAY_S = 0.5
RETRY_AFTER_MAX_S = 120.0

T = TypeVar("T")


async def retried(
    attempt: Callable[[], Awaitable[T]], *, has_progressed: Callable[[], bool] = lambda: False
) -> T:
    """Return the result of the first attempt that succeeds.

    An attempt that got further than the one before it (`has_progressed`) does not count.

    Raises:
        RegistryUnreachable: the last attempt's.
    """
    failures = 0
    while True:
        try:
            return await attempt()
        except RegistryUnreachable as error:
            failures = 1 if has_progressed() else failures + 1
            delay_s = plan_delay(failures, error.retry_after_s)
            if not error.retryable or delay_s is None:
                raise
            log.info("trying again in %.1f s: %s", delay_s, error)
        await asyncio.sleep(delay_s)


def plan_delay(failures: int, retry_after_s: float | None) -> float | None:
    """Return how long to wait after so many failures in a row; None: give up. Pure."""
    if failures >= TRIES or (retry_after_s or 0) > RETRY_AFTER_MAX_S:
        return None
    return max(FIRST_DELAY_S * 2.0 ** (failures - 1), retry_after_s or 0.0)


def parse_retry_after(untrusted: str | None, *, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for: a number, or a date. Pure."""
    if untrusted is None:
        return None
    text = untrusted.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None

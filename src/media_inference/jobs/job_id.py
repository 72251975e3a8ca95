"""Ids of jobs: UUIDs of version 7, which rise with time."""

import secrets
import time


def new_job_id() -> str:
    """A fresh id. Ids of one time lie side by side in every index, so many jobs cost few pages (RFC 9562, 5.7)."""
    milliseconds = time.time_ns() // 1_000_000
    chance = secrets.randbits(74)
    high, low = chance >> 62, chance & (1 << 62) - 1
    digits = f"{milliseconds << 80 | 7 << 76 | high << 64 | 2 << 62 | low:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

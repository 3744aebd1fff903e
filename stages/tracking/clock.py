"""The time as MLflow counts it."""

import time


def milliseconds() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000

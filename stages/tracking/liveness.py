"""Which process a run belongs to, and whether that process is dead.

A process id alone means nothing: another container has its own, also under the same host name, and after a restart of
the machine they begin anew. So the boot of the kernel and the namespace of process ids stand beside it.
"""

import os
import uuid
from dataclasses import astuple, dataclass
from pathlib import Path

import psutil

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE = Path("/proc/self/ns/pid")
SECONDS_OF_DOUBT = 60  # the clock that starts are read from may have been set meanwhile


@dataclass(frozen=True)
class ProcessName:
    """What tells a process from all others: `boot` and `namespace` say among which ones `pid` is unique."""

    boot: str
    namespace: str
    pid: int
    start: int  # seconds since 1970

    @classmethod
    def parse(cls, text: str) -> "ProcessName | None":
        """Return what `str` has written; None where it is anything else."""
        boot, *rest = text.split(":")
        try:
            namespace, pid, start = rest
            return cls(boot, namespace, int(pid), int(start))
        except ValueError:
            return None

    def __str__(self) -> str:
        return ":".join(str(part) for part in astuple(self))


def this_process() -> ProcessName:
    """Return the name of this process."""
    return ProcessName(_boot(), _namespace(), os.getpid(), int(psutil.Process().create_time()))


def is_dead(name: ProcessName) -> bool:
    """Return whether a process is known to be dead; one of another boot or namespace cannot be seen from here."""
    if (name.boot, name.namespace) != (_boot(), _namespace()) or name.pid <= 0:
        return False
    try:
        os.kill(name.pid, 0)  # asks only
        process = psutil.Process(name.pid)
        started_later = abs(process.create_time() - name.start) > SECONDS_OF_DOUBT
        return started_later or process.status() == psutil.STATUS_ZOMBIE
    except (ProcessLookupError, OverflowError):
        return True
    except (OSError, psutil.Error):  # there is one, and it is not ours to look at
        return False


def _boot() -> str:
    """Return what is different after each start of the machine: Linux has an id for it, others have the time."""
    if BOOT_ID.exists():
        return BOOT_ID.read_text().strip()
    return f"{uuid.getnode():x}-{psutil.boot_time():.0f}"


def _namespace() -> str:
    """Return which process ids these are; where Linux does not say, what nobody else has."""
    if NAMESPACE.exists():
        return str(NAMESPACE.stat().st_ino)
    return uuid.uuid4().hex if BOOT_ID.exists() else "all"

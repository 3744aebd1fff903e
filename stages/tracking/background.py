"""The process that logs, so that neither MLflow's imports nor its work hold up the training.

It also outlives the stage's own: where that dies, even by SIGKILL, it learns of it and ends the run.
"""

import contextlib
import gc
import multiprocessing
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from stages import InputError
from stages.forks import fork_context
from stages.tracking import outbox
from stages.tracking.clock import milliseconds
from stages.tracking.entries import BY_NAME, Entry, LoggedRun
from stages.tracking.environment import outbox_folder

if TYPE_CHECKING:
    from stages.tracking.logger import RunLog


@dataclass(frozen=True)
class Open:
    """Asks for an answer once the run is open."""


@dataclass(frozen=True)
class LogAll:
    """Asks for an answer once all that was sent before is logged, or has to wait for the store to come back."""


@dataclass(frozen=True)
class End:
    """Asks to end the run, with this status, and the process."""

    status: str


SECONDS_BETWEEN_LOOKS = 1.0  # whether something is due, while no message comes
Message = Entry | Open | LogAll | End


class Background:
    """The process that logs, seen from the stage: entries go there, in order, and what went wrong comes back.

    It may be killed, as the kernel does where memory ends. Then the stage goes on, and what it has sent and will send
    goes into the outbox at the end.
    """

    def __init__(self, stage: str, params: dict[str, Any], tags: dict[str, str], rates: list[float]) -> None:
        # A fork has at once what a spawned process imports again, for half a second.
        context = fork_context() or multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self._connection, stage, params, tags, rates))
        with _ignoring_ctrl_c():
            self._process.start()
        theirs.close()
        self._run: LoggedRun | None = None
        self._sent: list[Entry] = []
        self._is_dead = False

    def send(self, function: Callable[..., None], *args: Any) -> None:
        """Have one of the functions in entries.py called with the store and `args`, when its turn comes."""
        assert BY_NAME.get(function.__name__) is function
        entry = Entry(function, args)
        self._sent.append(entry)
        with self._noticing_death():
            self._connection.send(entry)

    def wait_until_open(self) -> None:
        """Return when the run is open. Raises what went wrong."""
        self._ask(Open())
        if self._is_dead and self._run is None:
            raise InputError("the process that logs to MLflow was killed before it had opened a run: out of memory?")

    def wait_until_logged(self) -> None:
        """Return when all is logged, or has to wait for the store to come back. Raises what went wrong."""
        self.wait_until_open()
        self._ask(LogAll())

    def close(self, status: str) -> None:
        """End the run and the process, once all is logged."""
        try:
            self._ask(End(status))
        finally:
            self._connection.close()
            self._process.join()
        if self._is_dead and self._run:
            print(self._leave_letter(self._run, status), file=sys.stderr)

    def _ask(self, question: Message) -> None:
        error: Exception | None = None
        with self._noticing_death():
            self._connection.send(question)
            self._run, error = self._connection.recv()
        if error is not None:
            raise error

    @contextlib.contextmanager
    def _noticing_death(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError):
            self._is_dead = True

    def _leave_letter(self, run: LoggedRun, status: str) -> str:
        """Put all that was sent into the outbox; say so in one line."""
        told = f"warning: the process that logs to MLflow was killed: run {run.name!r} at {run.address} is cut off"
        try:
            outbox.put(outbox_folder(), outbox.Letter(run, self._sent, status, milliseconds()))
        except OSError as error:
            return f"{told}, and {outbox_folder()} cannot be written ({error.strerror}); the results are complete"
        return f"{told}; nothing is lost: `make resync` logs it later"


@contextlib.contextmanager
def _ignoring_ctrl_c() -> Iterator[None]:
    """Let a process that starts meanwhile ignore Ctrl-C from its first import on: what is ignored is inherited."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def serve(connection: Connection, stage_end: Connection, *opening: Any) -> None:
    """Open a run and log what comes, until the end is asked for or the stage's process is gone."""
    stage_end.close()  # the pipe ends with the stage's process where nobody else has its end
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # they reach the whole group; the stage decides what they mean
    inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, inbox), daemon=True).start()
    service = _Service(connection)
    gc.disable()  # what is imported stays: to look for garbage in it takes a sixth of the time
    service.open(*opening)
    gc.freeze()
    gc.enable()
    while not service.has_ended:
        with contextlib.suppress(queue.Empty):
            service.take(inbox.get(timeout=SECONDS_BETWEEN_LOOKS))
        if inbox.empty():  # what comes at once is logged at once
            service.write_if_due()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # all is done: spare the stage the seconds that taking MLflow apart would take


def _receive(connection: Connection, inbox: "queue.SimpleQueue[Message]") -> None:
    """Take messages off the pipe at once, so that the stage never waits for its buffer to drain."""
    try:
        while True:
            inbox.put(connection.recv())
    except (EOFError, OSError):
        inbox.put(End("KILLED"))


class _Service:
    """What is done with each message. After a failure of our own, entries are passed over until it is told."""

    def __init__(self, connection: Connection) -> None:
        self.has_ended = False
        self._connection = connection
        self._log: RunLog | None = None
        self._error: Exception | None = None

    def open(self, *opening: Any) -> None:
        with self._noting_errors():
            # MLflow takes seconds to import: never in the stage's process, and here once the store has answered.
            from stages.tracking.connection import find_store

            address = find_store()
            from stages.tracking.logger import open_log

            self._log = open_log(address, *opening)

    def take(self, message: Message) -> None:
        if self._log:
            with self._noting_errors():
                self._handle(self._log, message)
        self.has_ended = isinstance(message, End)
        if not isinstance(message, Entry):
            self._answer()

    def write_if_due(self) -> None:
        if self._log and self._error is None and not self.has_ended:
            with self._noting_errors():
                self._log.write_if_due()

    def _handle(self, log: "RunLog", message: Message) -> None:
        if isinstance(message, End):
            log.close("FAILED" if self._error else message.status)
        elif self._error is None and isinstance(message, Entry):
            log.add(message)
        elif self._error is None and isinstance(message, LogAll):
            log.log_all()

    def _answer(self) -> None:
        with contextlib.suppress(OSError):  # nobody is there any more: the end is on its way
            self._connection.send((self._log.run if self._log else None, self._error))
        self._error = None

    @contextlib.contextmanager
    def _noting_errors(self) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            self._error = self._error or error
        except Exception:
            # Not at the top: the stage's process, which has this file too, does without SQLAlchemy.
            from stages.tracking.address import hide

            self._error = self._error or RuntimeError(f"in the process that logs:\n{hide(traceback.format_exc())}")

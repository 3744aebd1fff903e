"""The stages of the pipeline, which DVC runs from the repository root as `python -m stages.NAME`."""

import gc
import reprlib
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

ARMS = ("baseline", "bn")
COLORS = {"baseline": "#000000", "bn": "#008000"}  # black without, green with, in every figure and chart
MEASURES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")  # nats, and shares in [0, 1]
EXACT = "_exact"  # ends the names of measures with exact statistics: see stages/training/evaluation.py
EXACT_MEASURES = tuple(name + EXACT for name in MEASURES)
LAYER_GRADIENT = "layer_gradient_"  # begins the columns of diagnostics.parquet with the gradient of each dense layer

MOST_SHOWN = 100  # characters of a value, in an error
INTERRUPTED = "interrupted: what was written before stays; the next run starts the stage anew"


class InputError(ValueError):
    """A value that the user can put right; the message names it and what is allowed, a line each."""


class _Excerpt(reprlib.Repr):
    """Writes a value that may be huge, such as a YAML bomb, and looks at its beginning alone."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxlist = self.maxtuple = self.maxdict = 10
        self.maxstring = self.maxlong = self.maxother = MOST_SHOWN

    def repr_instance(self, value: Any, level: int) -> str:
        return self.repr_dict(value, level) if isinstance(value, dict) else super().repr_instance(value, level)


def shorten(value: object) -> str:
    """Return a value as Python writes it, in at most MOST_SHOWN characters."""
    try:
        text = _Excerpt().repr(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."


def run_stage(main: Callable[[], None]) -> None:
    """Run `main`; an `InputError` becomes its own lines on stderr and exit status 2, without a traceback.

    So does Ctrl-C, in one line, with the exit status that shells give it.
    """
    try:
        main()
        gc.freeze()  # at its end Python would look through all of it for garbage, for a quarter of a second
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        raise SystemExit(130) from None
    except InputError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


def _end_import(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say of Ctrl-C what `run_stage` says, where it comes before that: a stage imports for half a second."""
    if issubclass(kind, KeyboardInterrupt):
        print(INTERRUPTED, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


if sys.argv[:1] == ["-m"]:  # Python is looking for NAME in `python -m stages.NAME`; whoever imports us is left alone
    sys.excepthook = _end_import

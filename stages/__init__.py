"""The stages of the pipeline, which DVC runs from the repository root as `python -m stages.NAME`."""

import sys
from collections.abc import Callable

ARMS = ("baseline", "bn")
COLORS = {"baseline": "#000000", "bn": "#008000"}  # black without, green with, in every figure and chart
MEASURES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")  # nats, and shares in [0, 1]


class InputError(ValueError):
    """A value that the user can put right; the message names it and what is allowed, a line each."""


def run_stage(main: Callable[[], None]) -> None:
    """Run `main`; an `InputError` becomes its own lines on stderr and exit status 2, without a traceback.

    So does Ctrl-C, in one line, with the exit status that shells give it.
    """
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted: what was written before stays; the next run starts the stage anew", file=sys.stderr)
        raise SystemExit(130) from None
    except InputError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stages.training.arm import Table

ROOT = Path(__file__).parents[1]
OUR_VARIABLES = ("DVC_", "MLFLOW_", "GIT_")

torch.set_num_threads(1)


@pytest.fixture
def tiny_tables() -> tuple[Table, Table]:
    """34 training and 20 validation rows of two features in float64: batches of 16 leave a short one of 2."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(54, 2, generator=generator, dtype=torch.float64)
    return split_table(x, (x.square().sum(dim=1) > 1.4).long())


@pytest.fixture
def three_classes(tiny_tables: tuple[Table, Table]) -> tuple[Table, Table]:
    """The same rows in three rings."""
    x = torch.cat([table.x for table in tiny_tables])
    return split_table(x, torch.bucketize(x.square().sum(dim=1), torch.tensor([0.8, 2.2], dtype=x.dtype)))


def split_table(x: torch.Tensor, y: torch.Tensor) -> tuple[Table, Table]:
    return Table(x[:34], y[:34]), Table(x[34:], y[34:])


@pytest.fixture(scope="session")
def clone_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Return a function that makes a fresh clone of the project as it is in the working tree, ready for git and DVC."""

    def clone() -> Path:
        folder = tmp_path_factory.mktemp("clone") / "project"
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in run(listed, ROOT).split("\0"):
            if name and (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes((ROOT / name).read_bytes())
        run(["git", "init", "--quiet", "--initial-branch=main"], folder)
        run(["git", "add", "--all"], folder)
        author = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        run(["git", *author, "commit", "--quiet", "--message", "Start"], folder)
        return folder

    return clone


def run(command: list[str], folder: Path, *, fails: bool = False, **variables: str) -> str:
    """Run a command in `folder`, as somebody with an empty home and no git identity; return all it prints."""
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(OUR_VARIABLES)}
    environment |= {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **variables}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert (done.returncode != 0) == fails, f"{command} exited {done.returncode}:\n{done.stdout}"
    return done.stdout

"""A colleague gets everything: files through a DVC remote, commits and experiments through a git remote."""

import re
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, run

from stages import ARMS


@pytest.fixture(scope="module")
def theirs(small_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A colleague's clone, after we have pushed our results and an experiment, before any pull."""
    folder = tmp_path_factory.mktemp("sharing")
    ours = folder / "ours"
    shutil.copytree(small_project, ours, symlinks=True)
    run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(folder / "origin.git")], folder)
    run(["git", "remote", "add", "origin", str(folder / "origin.git")], ours)
    run(["dvc", "remote", "add", "--default", "storage", str(folder / "storage")], ours)
    run(["git", "commit", "--quiet", "--all", "--message", "Share"], ours)
    run(["dvc", "exp", "run", "--name", "strict", "-S", "evidence.alpha=0.01"], ours)
    run(["git", "reset", "--hard", "--quiet"], ours)
    run(["dvc", "checkout"], ours)
    run(["git", "push", "--quiet", "origin", "main"], ours)
    run(["dvc", "push"], ours)
    run(["dvc", "exp", "push", "origin", "strict"], ours)
    shutil.rmtree(ours)
    run(["git", "clone", "--quiet", str(folder / "origin.git"), str(folder / "theirs")], folder)
    return folder / "theirs"


def test_their_pull_leaves_nothing_to_run(theirs: Path) -> None:
    run(["dvc", "pull"], theirs)
    printed = run(["dvc", "repro"], theirs)
    assert "Running stage" not in printed
    assert run(["git", "status", "--porcelain"], theirs) == ""
    assert not (theirs / "mlflow.db").exists()


def test_their_plots_show_both_arms(theirs: Path) -> None:
    run(["dvc", "pull"], theirs)
    page = Path(run(["dvc", "plots", "show"], theirs).strip().removeprefix("file://"))
    text = page.read_text()
    for arm in ARMS:
        curves = pd.read_csv(theirs / f"results/{arm}/curves.csv", dtype=str)
        assert all(f'"{accuracy}"' in text for accuracy in curves["val_accuracy"])
    for picture in ("comparison.png", *(f"figures/{path.name}" for path in (theirs / "results/figures").iterdir())):
        assert (page.parent / "static" / f"workspace_results_{picture.replace('/', '_')}").exists()


def test_they_get_our_experiment(theirs: Path) -> None:
    run(["dvc", "pull"], theirs)
    assert "strict" in run(["dvc", "exp", "list", "origin"], theirs)
    run(["dvc", "exp", "pull", "origin", "strict"], theirs)
    before = (theirs / "results/pairs.csv").read_bytes(), (theirs / "results/claims.csv").read_bytes()
    run(["dvc", "exp", "apply", "strict"], theirs)
    assert "0.01" in (theirs / "params.yaml").read_text()
    assert (theirs / "results/pairs.csv").read_bytes() == before[0]
    assert (theirs / "results/claims.csv").read_bytes() != before[1]
    assert "Running stage" not in run(["dvc", "repro"], theirs)
    assert "evidence.alpha" in run(["dvc", "params", "diff"], theirs)


def test_the_table_of_experiments_in_the_readme_fits_80_columns(theirs: Path) -> None:
    (command,) = re.findall(r"^(dvc exp show .*?) +#", (ROOT / "README.md").read_text(), re.M)
    table = run(shlex.split(command), theirs, COLUMNS="80").splitlines()
    assert max(len(line.rstrip()) for line in table) < 80
    assert table[1].split() == ["Experiment", "baseline.val_accuracy", "bn.val_accuracy", "lr"]
    assert table[3].split()[0] == "workspace"

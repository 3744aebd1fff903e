"""A colleague gets everything by the commands of docs/sharing.md, as written."""

import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, copy_project, run

from docs.listings import Shell, environment, link_packages, read_commands
from stages import ARMS

OURS, THEIRS = read_commands((ROOT / "docs/sharing.md").read_text())
FILES = ("params.yaml", "results/claims.csv", "results/pairs.csv")


@dataclass
class Colleague:
    """A colleague's clone after the last command, and what each command printed and left there."""

    folder: Path
    printed: dict[str, str]
    left: dict[str, dict[str, bytes]]
    status: dict[str, str]


@pytest.fixture(scope="module")
def colleague(tried_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Colleague:
    """We have made an experiment before we share, and run it again, as the page says: DVC takes it from its cache."""
    folder = tmp_path_factory.mktemp("sharing")
    ours, theirs = folder / "us/project", folder / "them/project"
    copy_project(tried_project, ours)
    run(["git", "checkout", "--quiet", "."], ours)
    run(["dvc", "checkout"], ours)
    run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(folder / "origin.git")], folder)
    run(["git", "remote", "add", "origin", str(folder / "origin.git")], ours)
    link_packages(ours)
    shell = Shell(ours, environment(ours))
    for command in OURS:
        shell.run(command.replace("/shared/FOLDER", str(folder / "storage")))
    shutil.rmtree(ours)
    run(["git", "clone", "--quiet", str(folder / "origin.git"), str(theirs)], folder)
    link_packages(theirs)
    return follow(theirs, THEIRS)


def follow(folder: Path, commands: list[str]) -> Colleague:
    """Run the commands, and look after each at the files, and at what DVC would run."""
    shell, found = Shell(folder, environment(folder)), Colleague(folder, {}, {}, {})
    for command in commands:
        name = command.split("  #")[0].rstrip()
        found.printed[name] = shell.run(command)
        found.left[name] = {file: (folder / file).read_bytes() for file in FILES if (folder / file).exists()}
        found.status[name] = shell.run("dvc status")
    return found


def test_their_pull_leaves_nothing_to_run(colleague: Colleague) -> None:
    assert "up to date" not in colleague.status["make setup"]
    assert colleague.status["dvc pull"].strip() == "Data and pipelines are up to date."
    assert not (colleague.folder / "mlflow.db").exists()


def test_they_get_our_experiment(colleague: Colleague) -> None:
    assert "fast" in colleague.printed["dvc exp list origin"]
    before, after = colleague.left["dvc pull"], colleague.left["dvc exp apply fast"]
    assert [yaml.safe_load(files["params.yaml"])["lr"] for files in (before, after)] == [0.001, 0.1]
    assert all(before[file] != after[file] for file in FILES)
    assert colleague.status["dvc exp apply fast"].strip() == "Data and pipelines are up to date."


def test_they_get_back_to_ours(colleague: Colleague) -> None:
    back = "git checkout . && dvc checkout"
    assert colleague.left[back] == colleague.left["dvc pull"]
    assert colleague.status[back].strip() == "Data and pipelines are up to date."
    assert run(["git", "status", "--porcelain"], colleague.folder) == ""


def test_their_plots_show_both_arms(colleague: Colleague) -> None:
    page = Path(run(["dvc", "plots", "show"], colleague.folder).strip().removeprefix("file://"))
    text = page.read_text()
    for arm in ARMS:
        curves = pd.read_csv(colleague.folder / f"results/{arm}/curves.csv", dtype=str)
        assert all(f'"{accuracy}"' in text for accuracy in curves["val_accuracy"])
    figures = [f"figures/{path.name}" for path in (colleague.folder / "results/figures").iterdir()]
    for picture in ("comparison.png", *figures):
        assert (page.parent / "static" / f"workspace_results_{picture.replace('/', '_')}").exists()


def test_their_plots_are_drawn_without_the_web(
    colleague: Colleague, browse: Callable[..., str], tmp_path: Path
) -> None:
    text = Path(run(["dvc", "plots", "show"], colleague.folder).strip().removeprefix("file://")).read_text()
    assert text.index("vegaEmbed('#") < text.index("<img ")  # the curves come first
    page = tmp_path / "page.html"
    page.write_text(re.sub(r"https://[^/]+", "https://nowhere.invalid", text))
    drawn = browse(page.as_uri(), tmp_path)
    for arm in ARMS:
        (points,) = re.findall(rf'<polyline data-arm="{arm}" data-rev="workspace" points="([^"]+)"', drawn)
        x, y = np.array([point.split(",") for point in points.split()], float).T
        curves = pd.read_csv(colleague.folder / f"results/{arm}/curves.csv")
        assert np.corrcoef(x, curves["epoch"])[0, 1] > 0.9999
        assert np.corrcoef(y, curves["val_accuracy"])[0, 1] < -0.9999


def test_table_of_experiments_in_the_readme_fits_and_has_what_is_compared(colleague: Colleague) -> None:
    (command,) = re.findall(r"^(dvc exp show .*?) +#", (ROOT / "README.md").read_text(), re.M)
    table = run(shlex.split(command), colleague.folder, COLUMNS="80").splitlines()
    assert max(len(line.rstrip()) for line in table) < 80
    assert table[1].split() == ["Experiment", "baseline.val_accuracy", "bn.val_accuracy", "lr"]
    assert [line.split()[0] for line in (table[3], table[4])] == ["workspace", "main"]
    assert "[fast]" in table[5]

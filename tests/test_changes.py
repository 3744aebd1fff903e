"""What differs from the last commit is told, once in a run of the pipeline, and changes nothing."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest
from conftest import ROOT, run

from stages.params import Params, load_params, tell_changes

WAY_BACK = "; the next run starts from here, or after `git checkout params.yaml` from there\n"


@pytest.fixture
def committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the committed params.yaml, which is the working directory."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    run(["git", "init", "--quiet"], folder)
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    author = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    run(["git", "add", "--all"], folder)
    run(["git", *author, "commit", "--quiet", "--allow-empty", "--message", "Any"], folder)


def edit(*changes: tuple[str, str]) -> None:
    text = Path("params.yaml").read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    Path("params.yaml").write_text(text)


def told(capsys: pytest.CaptureFixture[str]) -> str:
    tell_changes(load_params())
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def test_what_differs_is_told_with_what_it_was(committed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys) == ""
    edit(("lr: 0.001", "lr: 1e-3"), ("\nseeds: 64", "\n# a comment\nseeds: 64"))
    assert told(capsys) == ""
    edit(("lr: 1e-3", "lr: 0.1"), ("source: tutorial_rings", "source: moons"))
    assert told(capsys) == (
        f"note: not as in the last commit: lr = 0.1 (0.001), data.source = 'moons' ('tutorial_rings'){WAY_BACK}"
    )
    commit(committed)
    assert told(capsys) == ""


def test_however_much_differs_it_is_one_line(committed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rates = ", ".join(f"{i}.5" for i in range(990))
    edit(("lr_sweep: [", f"lr_sweep: [{rates}, "), ("seeds: 64", "seeds: 65"), ("epochs: 200", "epochs: 201"))
    edit(("batch_size: 32", "batch_size: 33"), ("weight_decay: 0.0", "weight_decay: 0.5"), ("seed: 1", "seed: 2"))
    edit(("[2, 2]", "[3, 3]"), ("activation: relu", "activation: tanh"), ("alpha: 0.05", "alpha: 0.1"))
    line = told(capsys)
    assert " and 1 more; the next run" in line
    assert line.count("\n") == 1
    assert len(line) < 700


@pytest.mark.parametrize("content", [None, "lr: [", "- 1", "", "&a {a: *a}"])
def test_without_params_to_compare_with_nothing_is_told(
    committed: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = Path("params.yaml").read_text().replace("lr: 0.001", "lr: 0.1")
    Path("params.yaml").unlink() if content is None else Path("params.yaml").write_text(content)
    commit(committed)
    Path("params.yaml").write_text(ours)
    assert told(capsys) == ""


def test_without_git_nothing_is_told(
    committed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(("lr: 0.001", "lr: 0.1"))
    with monkeypatch.context() as without:
        without.setenv("PATH", "/nowhere")
        assert told(capsys) == ""
    shutil.rmtree(".git")
    assert told(capsys) == ""


def test_a_temporary_workspace_has_no_way_back(
    committed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    edit(("lr: 0.001", "lr: 0.1"))
    assert told(capsys) == "note: not as in the last commit: lr = 0.1 (0.001)\n"


TELL = f"{sys.executable} -c 'from stages.params import load_params, tell_changes; tell_changes(load_params())'"


@pytest.mark.whole
@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])
def test_the_stage_that_runs_first_tells_it(committed: Path, shell: str) -> None:
    if not Path(shell).exists():
        pytest.skip(f"{shell} is not here")
    (committed / "dvc.yaml").write_text(
        f"stages:\n  one:\n    cmd: {TELL}\n    params: [data]\n  two:\n    cmd: {TELL}\n    params: [lr]\n"
    )
    run(["dvc", "init", "--quiet"], committed)
    edit(("seed: 1", "seed: 2"))
    printed = run(["dvc", "repro"], committed, PYTHONPATH=str(ROOT), SHELL=shell)
    assert (printed.count("Running stage"), printed.count("data.seed = 2 (1)")) == (2, 1)
    edit(("lr: 0.001", "lr: 0.1"))
    printed = run(["dvc", "repro"], committed, PYTHONPATH=str(ROOT), SHELL=shell)
    assert (printed.count("Running stage"), printed.count("lr = 0.1 (0.001), data.seed = 2 (1)")) == (1, 1)


@pytest.mark.parametrize("stage", ["generate_data", "train_baseline", "train_bn", "compare"])
def test_every_stage_tells_it_before_it_does_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    class ToldError(Exception):
        pass

    def tell(params: Params) -> None:
        raise ToldError

    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    module = importlib.import_module(f"stages.{stage}")
    monkeypatch.setattr(module, "tell_changes", tell)
    with pytest.raises(ToldError):
        module.main()

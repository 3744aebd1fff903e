"""dvc.yaml tells the truth: the modules a stage depends on are those it imports, the params those it reads."""

import ast
import contextlib
import shutil
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import Mock, create_autospec

import pytest
import yaml

from stages.evidence import figures
from stages.params import Params, load_params
from stages.tracking.run import StageRun

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
TRACKED = [name for name in STAGES if name != "generate_data"]
CHANGE_NO_OUTPUT = ("stages/tracking/", "stages/engine.py", "stages/forks.py")  # what MLflow holds, and where work runs


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_rooms_that_the_stage_imports(stage: str) -> None:
    rooms = [dep for dep in STAGES[stage]["deps"] if dep.startswith("stages/")]
    assert len(rooms) <= 7
    declared = {str(path.relative_to(ROOT)) for room in rooms for path in modules(ROOT / room)}
    imported = import_closure(ROOT / "stages" / f"{stage}.py")
    assert declared == {path for path in imported if not path.startswith(CHANGE_NO_OUTPUT)}


def modules(room: Path) -> Iterable[Path]:
    return room.rglob("*.py") if room.is_dir() else [room]


def import_closure(script: Path) -> set[str]:
    """Return the project's modules that `script` imports, at any depth and wherever in the file, and itself.

    What the process that logs imports ends there: nothing comes back from it.
    """
    found, waiting = set(), {script}
    while waiting:
        path = waiting.pop()
        found.add(path)
        if path.is_relative_to(ROOT / "stages/tracking"):
            continue
        parents = {parent / "__init__.py" for parent in path.parents if parent.is_relative_to(ROOT / "stages")}
        waiting |= {imported for imported in imported_modules(path) | parents if imported.exists()} - found
    return {str(path.relative_to(ROOT)) for path in found}


def imported_modules(path: Path) -> set[Path]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    found = set()
    for name in names:
        if name.startswith("stages"):
            module = ROOT / name.replace(".", "/")
            found |= {module.with_suffix(".py"), module / "__init__.py"}
    return found


class Recorder:
    """Stands in for Params, and notes which keys are read. `flat()`, the record that MLflow keeps, counts as none.

    `model_dump()` reads a whole section.
    """

    def __init__(self, section: Any, read: set[str], prefix: str = "") -> None:
        self._section, self._read, self._prefix = section, read, prefix

    def __getattr__(self, name: str) -> Any:
        if isinstance(derived := getattr(type(self._section), name, None), property):
            return derived.fget(self)
        value = getattr(self._section, name)
        if name == "flat":
            return value
        if name == "model_dump":
            self._read.update(self._prefix + key for key in value())
            return value
        if hasattr(value, "model_dump"):
            return Recorder(value, self._read, f"{self._prefix}{name}.")
        self._read.add(self._prefix + name)
        return value


@pytest.fixture(scope="module")
def params_read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Run every stage in turn on a small setting; return the keys that each one read."""
    folder = tmp_path_factory.mktemp("run")
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "data").mkdir()
    (folder / "results").mkdir()
    committed = load_params(folder / "params.yaml")
    evidence = committed.evidence.model_copy(update={"resamples": 100})
    small = committed.model_copy(update={"seeds": 3, "epochs": 2, "lr_sweep": [0.1], "evidence": evidence})
    read: dict[str, set[str]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(figures, "save_figure", Mock())  # which read no params, and take the most time
        patch.setattr(figures, "render_svg", Mock(return_value="<svg/>"))
        for stage in STAGES:
            read[stage] = set()
            module = import_module(f"stages.{stage}")
            patch.setattr(module, "load_params", lambda keys=read[stage]: Recorder(small, keys))
            if stage in TRACKED:
                patch.setattr(module, "track_stage", track_nothing)
            module.main()
        read["generate_data"] |= read_for_a_csv(folder, small, patch)
    return read


@contextlib.contextmanager
def track_nothing(*arguments: object, **settings: object) -> Iterator[Mock]:
    """Stand in for MLflow, which gets the params by `flat()` and would take half a minute."""
    yield create_autospec(StageRun, instance=True)


def read_for_a_csv(folder: Path, params: Params, patch: pytest.MonkeyPatch) -> set[str]:
    """Return the keys that `generate_data` reads where the rows are a user's own."""
    (folder / "own.csv").write_text("a,label\n" + "1,x\n2,y\n" * 20)
    data = params.data.model_copy(update={"source": "own.csv"})
    keys: set[str] = set()
    module = import_module("stages.generate_data")
    patch.setattr(module, "load_params", lambda: Recorder(params.model_copy(update={"data": data}), keys))
    module.main()
    return keys


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_those_that_the_stage_reads(stage: str, params_read: dict[str, set[str]]) -> None:
    leaves = set(load_params(ROOT / "params.yaml").flat())
    declared = {leaf for leaf in leaves for key in STAGES[stage]["params"] if leaf == key or leaf.startswith(f"{key}.")}
    recorded = {"tracking.experiment"} if stage in TRACKED else set()
    if stage == "compare":
        recorded = leaves  # its report lists them all
    assert declared == params_read[stage] | recorded


def test_the_file_is_short_enough_to_read() -> None:
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) < 130


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_named_for_its_script(stage: str) -> None:
    assert STAGES[stage]["cmd"] == f"python -m stages.{stage}"

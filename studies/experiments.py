"""The studies as DVC experiments: which there are, which are still to be run, and what they wrote."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import pandas as pd

from stages import InputError, shorten
from stages.params import parse_yaml
from studies.side_by_side import Ended, SideBySide

FOLDER = Path(__file__).parent
STUDIES = (
    "tutorial",
    "green_line",
    "batch",
    "depth",
    "dropout",
    "rows",
    "circles",
    "sigmoid",
    "overfit",
    "tanh",
    "other_data",
)
MAKE_RESULTS = ("stages", "dvc.yaml", "data/own")  # what all outputs depend on, beside params and a CSV that they name


@dataclass(frozen=True)
class Variant:
    """One experiment of a study: its name, and the params that differ from params.yaml, under dotted keys."""

    experiment: str
    overrides: Mapping[str, Any]

    def arguments(self) -> list[str]:
        """Return what `dvc exp run` takes to set the overrides."""
        return [part for key, value in self.overrides.items() for part in ("-S", f"{key}={_as_text(value)}")]

    def params(self, default: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content of params.yaml with the overrides, given that without."""
        return _override(default, self.overrides)


@dataclass(frozen=True)
class Study:
    """A study's file. `title` and `finding` are templates that the numbers of the study fill."""

    name: str
    heading: str
    title: str
    question: str
    source: str
    finding: str
    variants: Mapping[str, Variant]
    published: Mapping[str, float]
    labels: Mapping[str, str]


def load_studies() -> list[Study]:
    """Return all studies, in the order to show them in."""
    return [load_study(FOLDER / f"{name}.yaml") for name in STUDIES]


def choose_studies(names: Sequence[str]) -> list[Study]:
    """Return the studies that are named, in the order to show them in; of no names all."""
    unknown = [name for name in names if name not in STUDIES]
    if unknown:
        raise InputError(f"study {shorten(unknown[0])}: expected one of {', '.join(STUDIES)}")
    return [study for study in load_studies() if not names or study.name in names]


def load_study(path: Path) -> Study:
    """Read a study's file; its experiments are called STUDY-VARIANT."""
    content = parse_yaml(path.read_text(encoding="utf-8"))
    common = content.pop("overrides", {})
    variants = {
        name: Variant(f"{path.stem.replace('_', '-')}-{name}", common | (overrides or {}))
        for name, overrides in content.pop("variants").items()
    }
    optional = {"published": content.pop("published", {}), "labels": content.pop("labels", {})}
    return Study(path.stem, variants=variants, **optional, **content)


def run_missing(studies: Sequence[Study]) -> None:
    """Run every experiment that does not exist, or that other params or code than ours made.

    In temporary workspaces. One for each core; but DVC has one place for all that are set up, so one that ends while
    another is set up can fail, or take its place: whatever is not there after that is run alone.
    """
    default = parse_yaml(Path("params.yaml").read_text(encoding="utf-8"))
    variants = [variant for study in studies for variant in study.variants.values()]
    missing = find_missing(variants, default)
    for variant in variants:
        if variant not in missing:
            print(f"{variant.experiment}: is there")
    while missing:
        failed = {ended.name for ended in _run(spread(missing, default), default)}
        missing = find_missing(missing, default)
        # Without a failure all have been started: what is not there got lost.
        alone = [variant for variant in missing if variant.experiment in failed or not failed]
        for variant in alone:
            for ended in _run([variant], default):
                sys.exit(f"{ended.name} failed; DVC printed:\n{ended.problem}")
        missing = [variant for variant in missing if variant not in alone]


def find_missing(variants: Sequence[Variant], default: Mapping[str, Any]) -> list[Variant]:
    """Return the variants that no experiment of ours is of, given the content of params.yaml."""
    revisions = experiment_revisions()
    missing = []
    for variant in variants:
        revision = revisions.get(variant.experiment)
        if not revision or not is_current(revision, variant.params(default)):
            missing.append(variant)
    return missing


def _run(variants: Sequence[Variant], default: Mapping[str, Any]) -> list[Ended]:
    """Run variants side by side, to the first that fails; return those that failed."""
    arguments = {}
    for variant in variants:
        # DVC does not watch that CSV: it would take what it made of the same params before.
        anew = ["--force"] if csv_source(variant.params(default)) else []
        arguments[variant.experiment] = [*anew, *variant.arguments()]
    return SideBySide().run(arguments, outdated=experiment_revisions())


def spread(variants: Sequence[Variant], default: Mapping[str, Any]) -> list[Variant]:
    """Return the variants in an order in which those that share a baseline are far apart.

    So, on few cores, the first has trained it when the others come, and DVC has it in the run cache.
    """
    sharing: dict[str, list[Variant]] = {}
    for variant in variants:
        baseline = {key: value for key, value in variant.params(default).items() if key != "bn"}
        sharing.setdefault(json.dumps(baseline), []).append(variant)
    turns = zip_longest(*sharing.values())  # the first of each baseline, the second of each that has two, ...
    return [variant for variant in chain.from_iterable(turns) if variant]


def experiment_revisions() -> dict[str, str]:
    """Return the commit of every experiment in this clone, of two with one name the later."""
    listed = _git(
        "for-each-ref", "--sort=committerdate", "--format=%(refname) %(objectname)", "refs/exps/*/*/*"
    ).splitlines()
    return {reference.split("/")[-1]: revision for reference, revision in map(str.split, listed)}


def is_current(revision: str, params: Mapping[str, Any]) -> bool:
    """Tell whether an experiment ran with these params, and with the code and the CSV that are in the workspace."""
    paths = [*MAKE_RESULTS, *csv_source(params)]
    same_files = subprocess.run(["git", "diff", "--quiet", revision, "--", *paths], check=False).returncode == 0
    return same_files and parse_yaml(_git("show", f"{revision}:params.yaml")) == params


def csv_source(params: Mapping[str, Any]) -> list[str]:
    """Return the path of the CSV that the rows are read from, or nothing where they are not."""
    source = params["data"]["source"]
    return [source] if source.endswith(".csv") else []


class Outputs:
    """What an experiment wrote, read from git and DVC's cache without touching the workspace."""

    def __init__(self, experiment: str, revision: str) -> None:
        self.experiment, self.revision = experiment, revision

    @cached_property
    def _files(self) -> Any:
        from dvc.api import DVCFileSystem

        return DVCFileSystem(rev=self.revision)

    @cached_property
    def params(self) -> dict[str, Any]:
        """The params that it ran with."""
        return parse_yaml(self._files.read_text("params.yaml"))

    def history(self, arm: str) -> pd.DataFrame:
        """Return the arm's history.parquet: lr, seed, epoch, and the measures."""
        return self._read(pd.read_parquet, f"results/{arm}/history.parquet")

    def diagnostics(self, arm: str) -> pd.DataFrame:
        """Return the arm's diagnostics.parquet."""
        return self._read(pd.read_parquet, f"results/{arm}/diagnostics.parquet")

    def claims(self) -> pd.DataFrame:
        """Return claims.csv, a row per claim."""
        return self._read(pd.read_csv, "results/claims.csv")

    def rows(self, part: str) -> pd.DataFrame:
        """Return the rows of data/train.csv or data/val.csv."""
        return self._read(pd.read_csv, f"data/{part}.csv")

    def _read(self, reader: Any, path: str) -> pd.DataFrame:
        with self._files.open(path) as file:
            return reader(file)


def _override(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested `values` with some of them replaced, given under dotted keys that are there."""
    changed = dict(values)
    for key, value in overrides.items():
        first, _, rest = key.partition(".")
        if first not in changed:
            raise KeyError(f"{first} is none of {', '.join(changed)}")
        changed[first] = _override(changed[first], {rest: value}) if rest else value
    return changed


def _as_text(value: Any) -> str:
    """Return a value as `dvc exp run -S` reads it: `[3,2]`, `null`, `0.01`, and text as it is."""
    return value if isinstance(value, str) else json.dumps(value)


def _git(*arguments: str) -> str:
    return subprocess.check_output(["git", *arguments], text=True)

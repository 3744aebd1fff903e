"""From the files of both arms to a comparison, and from there to the files of the stage `compare`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages import ARMS
from stages.evidence.comparison import Comparison, compare_arms
from stages.evidence.effects import Rules
from stages.evidence.gallery import Picture
from stages.evidence.networks import Networks, count_logits, count_parameters
from stages.evidence.page.render import render_report
from stages.evidence.summary import collect_metrics, tabulate_claims
from stages.evidence.trainings import Inside, PairedTrainings, Sweep, read_layer_gradients
from stages.history.wording import describe_contrast
from stages.pair_rows import PairRows
from stages.params import Params

DATA, RESULTS = Path("data"), Path("results")


def read_comparison(params: Params) -> Comparison:
    """Read data/ and results/{baseline,bn}/, and judge the claims."""
    val = pd.read_csv(DATA / "val.csv")
    classes = json.loads((DATA / "classes.json").read_text(encoding="utf-8"))
    pair_rows = PairRows.read(DATA / "pairs")
    trainings = _read_trainings(params, val, pair_rows, classes)
    evidence = params.evidence
    overlap = len(val) / trainings.train_rows if params.data.vary == "split" else 0.0
    rules = Rules(evidence.smallest_effect.model_dump(), evidence.alpha, evidence.resamples, overlap)
    mean_curves = {arm: pd.read_csv(RESULTS / arm / "curves.csv") for arm in ARMS}
    surfaces = {arm: pd.read_csv(RESULTS / arm / "surface.csv") for arm in ARMS}
    layer_gradients = {}
    for arm in ARMS:
        layer_gradients[arm] = read_layer_gradients(RESULTS / arm / "diagnostics.parquet", params.epochs)
    return compare_arms(
        trainings,
        rules,
        mean_curves=mean_curves,
        surfaces=surfaces,
        val=val,
        classes=classes,
        networks=_read_networks(params, val, classes),
        pair_rows=pair_rows,
        layer_gradients=layer_gradients,
    )


def write_results(comparison: Comparison, pictures: Sequence[Picture], params: Mapping[str, Any]) -> list[Path]:
    """Write all files of the stage, and return their paths; the report lists `params`."""
    metrics = json.dumps(collect_metrics(comparison), indent=2, allow_nan=False) + "\n"
    claims = tabulate_claims(comparison.judgements, comparison.trainings.contrast)
    names = ("metrics.json", "claims.csv", "pairs.csv", "report.html")
    written = [RESULTS / name for name in names]
    metrics_json, claims_csv, pairs_csv, report_html = written
    metrics_json.write_text(metrics, encoding="utf-8")
    claims.to_csv(claims_csv, index=False, lineterminator="\n")
    comparison.pairs.to_csv(pairs_csv, lineterminator="\n")
    report_html.write_text(render_report(comparison, pictures, params), encoding="utf-8")
    return [*written, *(picture.save(RESULTS) for picture in pictures)]


def _read_networks(params: Params, val: pd.DataFrame, classes: Sequence[str]) -> Networks:
    flat = {arm: np.load(RESULTS / arm / "networks.npy") for arm in ARMS}
    return Networks(flat, _widths(params, val, classes), params.model.activation)


def _widths(params: Params, val: pd.DataFrame, classes: Sequence[str]) -> dict[str, list[int]]:
    """Return of each arm the number of features, of units in each hidden layer, and of logits."""
    features, outputs = val.shape[1] - 1, count_logits(classes)
    hidden = {"baseline": params.model.hidden, "bn": params.bn.hidden or params.model.hidden}
    return {arm: [features, *hidden[arm], outputs] for arm in ARMS}


def _read_trainings(
    params: Params, val: pd.DataFrame, pair_rows: PairRows | None, classes: Sequence[str]
) -> PairedTrainings:
    train = pd.read_csv(DATA / "train.csv")
    widths = _widths(params, val, classes)
    return PairedTrainings(
        sweeps={arm: Sweep.open(RESULTS / arm / "history.parquet") for arm in ARMS},
        diagnostics={arm: Inside.open(RESULTS / arm / "diagnostics.parquet") for arm in ARMS},
        lr=params.lr,
        majority=majority_share(pair_rows.val_labels if pair_rows else val["label"].to_numpy()[None]),
        train_rows=len(train),
        batch_size=params.batch_size,
        parameters=max(count_parameters(each) for each in widths.values()),
        contrast=describe_contrast(params.bn.kind, params.model.hidden, params.bn.hidden, params.bn.rate),
    )


def majority_share(labels: np.ndarray) -> float:
    """Return the share of rows of the most frequent class, the mean over the pairs: labels (S, N)."""
    counts = [np.bincount(of_pair).max() for of_pair in labels]
    return float(np.mean(counts) / labels.shape[1])

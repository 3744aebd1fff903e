import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from stages.training.tables import Table


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "train.csv"
    path.write_text("size,weight,label\n0.5,1,0\n1.5,-2,2\n2.5,3,1\n")
    return path


def test_a_table_has_features_and_classes(csv: Path) -> None:
    table = Table.read(csv)
    assert table.x.tolist() == [[0.5, 1.0], [1.5, -2.0], [2.5, 3.0]]
    assert table.y.tolist() == [0, 2, 1]
    assert (table.x.dtype, table.y.dtype, table.classes) == (torch.float32, torch.int64, 3)


def test_rows_lie_one_after_another(csv: Path) -> None:  # gathering a batch takes ten times as long from columns
    assert Table.read(csv).x.is_contiguous()


@pytest.mark.whole
def test_reading_warns_of_nothing(csv: Path) -> None:
    code = f"from stages.training.tables import Table; Table.read({str(csv)!r})"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")  # a process of its own: PyTorch warns once in each

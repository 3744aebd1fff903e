"""Addresses of stores: refused in one line where they are none, and never shown with a password."""

import pytest

from stages.tracking.address import shown


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://ann:secret@host:5000/mlflow", "http://host:5000/mlflow"),
        ("postgresql://ann:secret@host/db", "postgresql://host/db"),
        ("postgresql://host/db?user=ann&password=secret", "postgresql://host/db"),
        ("http://ann:sec/ret@host", "http://host"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("http://host:5000", "http://host:5000"),
        ("bob:pw@host:5000", "host:5000"),
        ("http:/bob:pw@host", "host"),
        ("http://bob:p\nw@host", "http://host"),
        ("http://bob:pw@host\u2100", "http://host\u2100"),
        ("http://host\n", "http://host?"),
        ("bob:pw@host://host", "host://host"),
        ("sqlite+pysqlcipher://:pw@/file.db", "sqlite+pysqlcipher:///file.db"),
        ("http://bob:p?w@host/?key=value", "http://host/"),
    ],
)
def test_no_address_is_shown_with_credentials(address: str, expected: str) -> None:
    assert shown(address) == expected

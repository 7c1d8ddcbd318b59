"""The table that serves where none is given: real, and nothing to download."""

from __future__ import annotations

from locution.data.tables.reading import RawTable

EXAMPLE = "diagnosis"


def example_table() -> RawTable:
    """Take scikit-learn's breast cancer data as a table: 569 tumours, 30 measures of each, and the diagnosis.

    >>> table = example_table()
    >>> len(table), sorted(set(table.columns["diagnosis"]))
    (569, ['benign', 'malignant'])

    Reference: W. Street, W. Wolberg, O. Mangasarian, 1993, "Nuclear feature extraction for breast tumor diagnosis".
    """
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    columns = {
        str(name): [repr(float(cell)) for cell in found.data[:, at]] for at, name in enumerate(found.feature_names)
    }
    columns[EXAMPLE] = [str(found.target_names[answer]) for answer in found.target]
    return RawTable(columns, "breast cancer (scikit-learn)")

"""How data were read: what was decided on the way is said before training, and stands in the report."""

from __future__ import annotations

from locution.data.dataset import Dataset
from locution.engine.distributed import Group
from locution.reporting.results import RunResults
from locution.tasks.estimation import Table
from locution.tasks.task import Job

HOW = "how they were read"


def dataset_of(job: Job) -> Dataset | None:
    """Take the dataset that a job remembers, if it remembers one."""
    data = job.data.dataset if isinstance(job.data, Table) else job.data
    return data if isinstance(data, Dataset) else None


def say_how_read(job: Job) -> None:
    """Print what was decided on the data, and what a reader of the figures must know, unless the task has said it.

    >>> import torch
    >>> from locution.engine import TensorBatches
    >>> data = Dataset(TensorBatches(torch.zeros(2, 1)), notes=("2 rows.",), warnings=("They are alike.",))
    >>> job = Job(torch.nn.Identity(), [], data.train, data=data)
    >>> say_how_read(job)
    2 rows.
    warning: They are alike.
    >>> say_how_read(job)  # once
    """
    data = dataset_of(job)
    if data is None or not Group.current().first:
        return
    for said, line in (*((one, one) for one in data.notes), *((one, f"warning: {one}") for one in data.warnings)):
        if said not in job.said:
            print(line)
            job.said.append(said)


def add_how_read(results: RunResults, job: Job) -> None:
    """Let the report say it too, unless the task has."""
    data = dataset_of(job)
    if data is None:
        return
    if data.notes and HOW not in results.data and not set(data.notes) <= set(results.notes):
        results.data[HOW] = " ".join(data.notes)
    results.warnings += [line for line in data.warnings if line not in results.warnings]

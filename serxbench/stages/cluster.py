"""parsed.jsonl → predictions.jsonl: the class that each emotion word belongs to."""

from __future__ import annotations

from serxbench import runs
from serxbench.clustering import get_clusterer
from serxbench.records import Parsed, Prediction
from serxbench.runs import Run

DEFAULT_CLUSTERER = "table"


def cluster(run: Run, clusterer_name: str | None = None) -> list[Prediction]:
    """Maps every parsed word of a run and writes predictions.jsonl; does nothing if that is up to date.

    clusterer_name: None takes the one that made the present file, else the word table.
    """
    with run.lock():
        clusterer = get_clusterer(clusterer_name or _present(run) or DEFAULT_CLUSTERER)
        made_by = {"clusterer": clusterer.name, "sha256": clusterer.sha256}
        if run.is_fresh(runs.PREDICTIONS, [runs.PARSED], made_by):
            return run.read_records(runs.PREDICTIONS, Prediction)
        predictions = [clusterer.cluster(parsed) for parsed in run.read_records(runs.PARSED, Parsed)]
        run.write_records(runs.PREDICTIONS, predictions)
        run.remember_sources(runs.PREDICTIONS, [runs.PARSED], made_by)
        return predictions


def _present(run: Run) -> str | None:
    made_by = run.maker(runs.PREDICTIONS)
    return None if made_by is None else str(made_by["clusterer"])

"""parsed.jsonl → predictions.jsonl: the class that each emotion word belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serxbench import runs
from serxbench.clustering import CLUSTERERS, get_clusterer
from serxbench.errors import MissingStage
from serxbench.progress import Progress, Silent
from serxbench.records import Parsed, Prediction
from serxbench.runs import Run
from serxbench.stages._clusterers import open_mapper
from serxbench.stages._readers import RequestOf, usual_request

DEFAULT_CLUSTERER = "table"


def cluster(
    run: Run,
    clusterer_name: str | None = None,
    word_table: Path | None = None,
    request_of: RequestOf = usual_request,
    progress: Progress | None = None,
) -> list[Prediction]:
    """Maps every parsed word of a run and writes predictions.jsonl; does nothing if that is up to date.

    clusterer_name: None takes the one that made the present file, else the word table. word_table: rows of the user's
    own; None takes those that made the present file, else the usual ones of an LLM.
    """
    with run.lock():
        maker = run.maker(runs.PREDICTIONS) or {}
        name = clusterer_name or str(maker.get("clusterer", DEFAULT_CLUSTERER))
        if clusterer_name is None and word_table is None and (known := _as_it_stands(run, maker)) is not None:
            return known
        mapper = open_mapper(name, word_table or _same_table(name, maker), request_of)
        parsed = run.read_records(runs.PARSED, Parsed)
        mapper.prepare(parsed, progress or Silent())
        made_by = mapper.made_by()
        if run.is_fresh(runs.PREDICTIONS, [runs.PARSED], made_by):
            return run.read_records(runs.PREDICTIONS, Prediction)
        predictions = [mapper.cluster(record) for record in parsed]
        run.write_records(runs.PREDICTIONS, predictions)
        run.remember_sources(runs.PREDICTIONS, [runs.PARSED], made_by)
        return predictions


def cluster_again(run: Run, parsed: Sequence[Parsed]) -> list[Prediction]:
    """What the run's own clusterer makes of other records; nothing is written but, of an LLM's, new words."""
    maker = run.maker(runs.PREDICTIONS) or {}
    name = str(maker.get("clusterer", DEFAULT_CLUSTERER))
    mapper = open_mapper(name, _same_table(name, maker), usual_request)
    mapper.prepare(parsed, Silent())
    return [mapper.cluster(record) for record in parsed]


def check_clusterer(name: str, word_table: Path | None = None, request_of: RequestOf = usual_request) -> None:
    """Raises UnknownName or DefinitionError if the clusterer cannot be had; no server is spoken to."""
    if name in CLUSTERERS:
        get_clusterer(name)
    else:
        open_mapper(name, word_table, request_of)


def _same_table(name: str, maker: Mapping[str, Any]) -> Path | None:
    """The user's own rows that made the present predictions, if the same clusterer made them."""
    noted = maker.get("word_table") if maker.get("clusterer") == name else None
    return None if noted is None else Path(noted)


def _as_it_stands(run: Run, maker: Mapping[str, Any]) -> list[Prediction] | None:
    """The present predictions if they need what is not at hand here (a user's table, an LLM) and are of these words."""
    name = str(maker.get("clusterer", DEFAULT_CLUSTERER))
    table = _same_table(name, maker)
    at_hand = table.is_file() if table is not None else name in CLUSTERERS
    if at_hand or not maker:
        return None
    try:
        run.made_by(runs.PREDICTIONS)
    except MissingStage:
        return None
    return run.read_records(runs.PREDICTIONS, Prediction)

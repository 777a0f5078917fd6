"""corpus → a folder with a linear probe on frozen features, and the card that runs it.

    NAME.md              the card: `serxbench run --model FOLDER/NAME.md`
    NAME-encoder.md      the card of the encoder, pinned; absent for eGeMAPS
    config.json, model.safetensors    see serxbench.adapters.linear_probe
    cross_validation.json             scores by speaker-grouped folds

Labels are those that a run is scored against: the plurality of the released votes, or the released consensus where
there are no votes. An item without one is left out, and counted.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from serxbench.adapters._frozen_features import EGEMAPS, SSL, Features, FeatureSettings, load_features
from serxbench.adapters.linear_probe import Probe
from serxbench.audio import SAMPLE_RATE, read_audio
from serxbench.catalog import ModelCard
from serxbench.checkpoints import Checkpoint, locate_checkpoint
from serxbench.corpora import Corpus
from serxbench.errors import AudioError, CorpusError, UsageError
from serxbench.hashing import hash_folder
from serxbench.metrics import references, vote_table
from serxbench.progress import Progress
from serxbench.records import Utterance
from serxbench.runs import write_atomically
from serxbench.stages._probe_fit import Examples, FitSettings, Fitted, cross_validate, fit, import_scikit_learn
from serxbench.stages.backends import choose_device

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["REPORT", "FitSettings", "ProbeRequest", "fit_probe"]

REPORT = "cross_validation.json"

#: What config.json repeats of the report.
_REMEMBERED = ("corpus", "n", "n_speakers", "left_out", "support", "c", "class_weight")


@dataclass(frozen=True, kw_only=True)
class ProbeRequest:
    """What is fitted on what. features: `egemaps`, or an encoder's folder, or its hub id (@REVISION may follow)."""

    corpus: Corpus
    features: str
    layer: str = "mean"
    max_seconds: float = 30.0
    device: str = "auto"
    settings: FitSettings = field(default_factory=FitSettings)


@dataclass(frozen=True, kw_only=True)
class _Encoder:
    card: ModelCard
    checkpoint: Checkpoint


def fit_probe(request: ProbeRequest, out: Path, progress: Progress) -> dict[str, Any]:
    """The report of the cross-validation, written with the probe into the new folder `out`.

    Raises UsageError for a folder that is not empty or a missing package, CorpusError if too few items have a label.
    """
    import_scikit_learn()
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out}: is not empty; give another --out")
    if request.settings.n_folds < 2 or not request.max_seconds > 0:
        raise UsageError("--folds must be at least 2 and --max-seconds above 0")
    settings = FeatureSettings(
        kind=EGEMAPS if request.features == EGEMAPS else SSL, layer=request.layer, max_seconds=request.max_seconds
    )
    encoder = None if settings.kind == EGEMAPS else _find_encoder(request.features, out)
    folder = encoder.checkpoint.folder if encoder else None
    features = load_features(settings, folder, choose_device(request.device), "float32")
    examples, left_out = _examples(request.corpus, features, settings.max_seconds, progress)
    progress.say(f"fitting on {len(examples.labels)} utterances of {examples.n_speakers} speakers")
    scores = cross_validate(examples, request.settings)
    fitted = fit(examples, request.settings)
    if not fitted.converged:
        progress.say("the fit stopped at its limit of iterations; a smaller --c converges sooner")
    report = _report(request, examples, left_out, scores, fitted)
    probe = Probe(
        classes=tuple(request.corpus.labels[position] for position in fitted.present),
        weights=fitted.weights,
        intercepts=fitted.intercepts,
        mean=fitted.mean,
        scale=fitted.scale,
        features=settings,
        encoder=hash_folder(folder) if folder else None,
        fitted_on={key: report[key] for key in _REMEMBERED},
    )
    _write(out, probe, encoder, report)
    return report


def _find_encoder(name: str, out: Path) -> _Encoder:
    """The encoder's card and checkpoint; downloaded if it has to be and can be."""
    local = Path(name).expanduser()
    repository, _, revision = (str(local.resolve()), "", "") if local.is_dir() else name.partition("@")
    card = ModelCard(
        name=f"{out.resolve().name}-encoder",
        adapter="linear_probe",
        repository=repository,
        revision=revision or None,
        licence="not stated (see its repository)",
    )
    return _Encoder(card=card, checkpoint=locate_checkpoint(card))


def _examples(
    corpus: Corpus, features: Features, max_seconds: float, progress: Progress
) -> tuple[Examples, dict[str, int]]:
    """Every utterance with a label, a speaker and features; and reason → how many have not."""
    selection = references(vote_table(corpus.utterances, corpus.labels)).select("mv")
    left_out = Counter(selection.excluded)
    vectors, labels, speakers = [], [], []
    numbers: dict[str, int] = {}
    progress.start("computing features", total=selection.n_items, done=0)
    try:
        for position, label in zip(selection.items.tolist(), selection.labels.tolist(), strict=True):
            utterance = corpus.utterances[position]
            found = _features_of(utterance, features, max_seconds)
            progress.advance(1, int(isinstance(found, str)))
            if isinstance(found, str):
                left_out[found] += 1
                continue
            vectors.append(found)
            labels.append(label)
            speakers.append(numbers.setdefault(utterance.speaker or "", len(numbers)))
    finally:
        progress.finish()
    if not vectors:
        raise CorpusError(f"{corpus.data}: no utterance has a label, a speaker and a clip; left out: {dict(left_out)}")
    return (
        Examples(
            features=np.stack(vectors),
            labels=np.array(labels, dtype=np.intp),
            speakers=np.array(speakers, dtype=np.intp),
            n_classes=len(corpus.labels),
        ),
        dict(left_out),
    )


def _features_of(utterance: Utterance, features: Features, max_seconds: float) -> NDArray[np.float64] | str:
    """The features of a clip, or the reason for which it is counted as left out."""
    if not utterance.speaker:
        return "no_speaker"
    if utterance.audio is None:
        return "no_audio"
    try:
        waveform = read_audio(utterance.audio).waveform[: int(max_seconds * SAMPLE_RATE)]
        return features.compute(waveform) if len(waveform) >= features.min_samples else "too_short"
    except AudioError:
        return "unreadable"
    except ValueError:
        return "no_features"


def _report(
    request: ProbeRequest, examples: Examples, left_out: dict[str, int], scores: dict[str, Any], fitted: Fitted
) -> dict[str, Any]:
    corpus, settings = request.corpus, request.settings
    support = np.bincount(examples.labels, minlength=examples.n_classes).tolist()
    # An absolute path says nothing on another machine; its fingerprint is in config.json.
    name = Path(request.features).name if Path(request.features).expanduser().is_dir() else request.features
    return {
        "features": {"name": name, "layer": request.layer, "max_seconds": request.max_seconds},
        "corpus": corpus.describe(),
        "n": len(examples.labels),
        "n_features": examples.features.shape[1],
        "n_speakers": examples.n_speakers,
        "left_out": left_out,
        "support": dict(zip(corpus.labels, support, strict=True)),
        "class_weight": "balanced" if settings.balanced else "none",
        "c": fitted.c,
        "c_chosen": settings.c is None,
        "converged": fitted.converged,
        **scores,
    }


def _write(out: Path, probe: Probe, encoder: _Encoder | None, report: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    probe.save(out)
    write_atomically(out / REPORT, json.dumps(report, indent=2, ensure_ascii=False))
    name, corpus = out.resolve().name, report["corpus"]
    where = f"{corpus['name']}:{corpus['split']}" if corpus["split"] else corpus["name"]
    fields: dict[str, Any] = {
        "name": name,
        "adapter": "linear_probe",
        "repository": ".",
        "dtype": "float32",
        "licence": f"yours, within that of {corpus['name']} ({corpus['licence']})",
        "family": "probe",
    }
    if encoder is None:
        fields["licence_limits"] = "openSMILE, which computes the features, is free for research and not for products"
    else:
        fields["base"] = encoder.card.name
        # The commit that was fitted on; the files of a local folder are known by their hash.
        pinned = {} if encoder.card.folder else {"revision": encoder.checkpoint.revision}
        card = {
            "name": encoder.card.name,
            "adapter": "linear_probe",
            "repository": encoder.card.repository,
            **pinned,
            "dtype": "float32",
            "licence": encoder.card.licence,
        }
        _write_card(out, card, f"The frozen encoder under the probe `{name}`. It answers nothing by itself.")
    _write_card(
        out,
        fields,
        f"A logistic regression on {report['features']['name']} features of {where}: {report['n']} utterances of "
        f"{report['n_speakers']} speakers, C = {report['c']:g}. Speaker-grouped cross-validation there: macro-F1 "
        f"{100 * report['macro_f1']:.2f} %, UAR {100 * report['uar']:.2f} % (`{REPORT}`). It has heard that data: a "
        "score on it is no test.",
    )


def _write_card(out: Path, fields: dict[str, Any], text: str) -> None:
    front = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=1000)
    write_atomically(out / f"{fields['name']}.md", f"---\n{front}---\n{text}\n")

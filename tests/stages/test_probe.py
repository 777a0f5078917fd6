"""Linear probes: what is fitted, how it is cross-validated, what is saved, and how it runs."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_ssl
from conftest import Serxbench, read_rows, write_rows

from serxbench.adapters import Base, Loading, linear_probe
from serxbench.adapters._frozen_features import FeatureSettings, load_features
from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.catalog import load_prompt, read_card, resolve_card
from serxbench.corpora import open_corpus
from serxbench.emotions import EMOTIONS
from serxbench.errors import AdapterError, CorpusError, UsageError
from serxbench.progress import Silent
from serxbench.records import Decoding
from serxbench.stages._probe_fit import GRID, Examples, FitSettings, choose_c, cross_validate, fit
from serxbench.stages.models import load_adapter, locate_model
from serxbench.stages.probe import ProbeRequest, fit_probe

FIXED = FitSettings(n_folds=3, c=0.1)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_ssl.backbone(tmp_path_factory.mktemp("encoder") / "tiny-wavlm")


def fit_on(corpus: Path, encoder: Path, out: Path, **more: Any) -> dict[str, Any]:
    request = ProbeRequest(
        corpus=open_corpus(f"manifest:{corpus}"), features=str(encoder), **{"settings": FIXED, "device": "cpu", **more}
    )
    return fit_probe(request, out, Silent())


def examples(n: int = 120, n_speakers: int = 12, n_classes: int = 3, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=n)
    centres = rng.normal(size=(n_classes, 6))
    return Examples(
        features=centres[labels] + rng.normal(scale=1.0, size=(n, 6)) * [1, 1, 1, 1, 50, 0.01],
        labels=labels,
        speakers=rng.integers(n_speakers, size=n),
        n_classes=n_classes,
    )


def test_on_the_embedded_corpus_and_as_a_model(encoder: Path, tmp_path: Path, serxbench: Serxbench) -> None:
    out = tmp_path / "my-probe"
    options = ("--features", encoder, "--layer", 0, "--folds", 4, "--c", 0.5, "--device", "cpu", "--json", "--out", out)
    done = serxbench("probe", "--data", "demo:train", "--limit", 240, *options)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["macro_f1"] > 1.25 * report["floors"]["prior"], "random features still hear pitch and loudness"
    assert (len(report["folds"]), report["n_features"], report["n_speakers"]) == (4, 2 * tiny_ssl.WIDTH, 25)
    assert sum(fold["n"] for fold in report["folds"]) == report["n"] == sum(report["support"].values())
    assert report["n"] + sum(report["left_out"].values()) == 240
    assert (report["c"], report["c_chosen"]) == (0.5, False)
    assert json.loads((out / "cross_validation.json").read_text()) == {k: v for k, v in report.items() if k != "model"}
    assert {path.suffix for path in out.iterdir()} == {".md", ".json", ".safetensors"}, "nothing that can run code"

    run = serxbench("run", "--model", out / "my-probe.md", "--mode", "closed", "--limit", 24, "--out", "run")
    assert run.returncode == 0, run.stderr
    predictions = read_rows(tmp_path / "run" / "predictions.jsonl")
    assert all(sum(row["probabilities"].values()) == pytest.approx(1) for row in predictions)
    model = json.loads((tmp_path / "run" / "manifest.json").read_text())["model"]
    assert (model["name"], model["adapter"], model["base"]["name"]) == ("my-probe", "linear_probe", "my-probe-encoder")
    assert str(tmp_path) not in json.dumps(model), "no path of this machine is part of a result"


def test_egemaps_beat_chance(tmp_path: Path, serxbench: Serxbench) -> None:
    pytest.importorskip("opensmile")
    options = ("--features", "egemaps", "--folds", 3, "--limit", 72, "--c", 0.01, "--out", tmp_path / "egemaps")
    done = serxbench("probe", "--data", "demo:train", *options)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "egemaps" / "cross_validation.json").read_text())
    assert report["macro_f1"] > 2 * report["floors"]["prior"]
    assert "linear probe on egemaps, fitted on demo:train" in done.stdout
    assert report["n_features"] == 88
    card = resolve_card(str(tmp_path / "egemaps" / "egemaps.md"))
    assert card.base is None
    adapter = load_adapter(locate_model(card), "cpu", "float32")
    (response,) = adapter.generate(["a"], [noise(0.4)], load_prompt("open", EMOTIONS), Decoding())
    assert response.text in EMOTIONS


def test_what_has_no_label_or_no_clip_is_counted(small_corpus: Path, encoder: Path, tmp_path: Path) -> None:
    rows = read_rows(small_corpus)
    del rows[0]["speaker"]
    del rows[1]["audio"]
    (tmp_path / rows[2]["audio"]).write_bytes(b"no audio")
    (tmp_path / rows[3]["audio"]).write_bytes((tmp_path / rows[3]["audio"]).read_bytes()[:300])
    rows[4]["votes"] = ["Sad", "Fear"]
    rows[5]["votes"] = ["Other", "Other"]
    rows[6] |= {"votes": [], "consensus": "Happy"}
    rows[7] |= {"votes": [], "consensus": "X"}
    report = fit_on(write_rows(tmp_path / "few.jsonl", rows), encoder, tmp_path / "probe")
    reasons = ("no_speaker", "no_audio", "unreadable", "too_short", "no_plurality", "other_plurality", "no_votes")
    assert report["left_out"] == dict.fromkeys(reasons, 1)
    assert report["n"] == 5
    assert report["support"]["Happy"] == 2, "the released consensus where there are no votes"
    assert json.loads((tmp_path / "probe" / "config.json").read_text())["fitted_on"]["left_out"] == report["left_out"]


def noise(seconds: float, seed: int = 0) -> Clip:
    waveform = np.random.default_rng(seed).normal(scale=0.1, size=round(seconds * SAMPLE_RATE)).astype(np.float32)
    return Clip(waveform=waveform, seconds=seconds)


def test_saved_and_read_again(
    small_corpus: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "a" / "probe", tmp_path / "b" / "probe"
    for out in (first, second):
        fit_on(small_corpus, encoder, out, layer="1", max_seconds=0.9)
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        path.name: path.read_bytes() for path in second.iterdir()
    }
    monkeypatch.setitem(sys.modules, "sklearn", None)  # importing it raises
    card = read_card(first / "probe.md")
    assert (card.dtype, card.base, card.repository) == ("float32", "probe-encoder", ".")
    adapter = load_adapter(locate_model(card), "cpu", "float32")
    assert adapter.max_seconds == 0.9
    clips = [noise(seconds, seed) for seed, seconds in enumerate((0.5, 1.4, 0.02, 0.9))]
    responses = adapter.generate(list("abcd"), clips, load_prompt("closed", EMOTIONS), Decoding())
    assert [response.stop for response in responses] == ["end", "end", "error", "end"]
    assert [response.truncated for response in responses] == [False, True, False, False]
    assert responses[::-1] == adapter.generate(list("dcba"), clips[::-1], load_prompt("closed", EMOTIONS), Decoding())
    assert set(responses[0].probabilities or ()) <= {"Angry", "Sad", "Happy", "Neutral"}, "it knows what it has heard"

    probe = linear_probe.read_probe(first)
    features = load_features(probe.features, encoder, "cpu", "float32")
    x = features.compute(clips[0].waveform)
    by_hand = [
        ((x - probe.mean) / probe.scale) @ row + b for row, b in zip(probe.weights, probe.intercepts, strict=True)
    ]
    assert (adapter.hear(clips[:1], load_prompt("open", EMOTIONS))[0]) == pytest.approx(by_hand, rel=1e-4)


def test_a_probe_wants_the_encoder_it_was_fitted_on(small_corpus: Path, encoder: Path, tmp_path: Path) -> None:
    out = tmp_path / "probe"
    fit_on(small_corpus, encoder, out)
    with pytest.raises(
        AdapterError, match=r"needs its encoder, which its card names; give --model one of: .*probe\.md"
    ):
        linear_probe.load(Loading(folder=out))
    other = tiny_ssl.backbone(tmp_path / "other", seed=5)
    with pytest.raises(AdapterError, match=r"other: is not the encoder that .*probe was fitted on"):
        linear_probe.load(Loading(folder=out, base=Base(adapter="linear_probe", loading=Loading(folder=other))))


def test_damaged_probes_are_refused(small_corpus: Path, encoder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    out = tmp_path / "probe"
    fit_on(small_corpus, encoder, out)
    arrays = load_file(out / "model.safetensors")

    def damaged(name: str, config: dict[str, Any] | None = None, **changed: Any) -> Path:
        copy = shutil.copytree(out, tmp_path / name)
        kept = {key: value for key, value in {**arrays, **changed}.items() if value is not None}
        save_file(kept, copy / "model.safetensors")
        said = {**json.loads((out / "config.json").read_text()), **(config or {})}
        (copy / "config.json").write_text(json.dumps(said))
        return copy

    for folder, message in (
        (damaged("a", mean=None), r"1 weights are not in the checkpoint \(the first: mean\)"),
        (damaged("b", mean=arrays["mean"][:3].copy()), "does not fit the 4 classes"),
        (damaged("c", config={"classes": ["Angry"]}), "does not fit the 1 classes"),
        (damaged("d", config={"schema": 9}), "is a probe of schema 9; this serxbench reads 1"),
        (damaged("e", config={"features": {"pitch": 1}}), "cannot be loaded as a linear probe"),
    ):
        with pytest.raises(AdapterError, match=message):
            linear_probe.read_probe(folder)
    (out / "model.safetensors").write_bytes(b"\x80\x04.")
    with pytest.raises(AdapterError, match="probe: cannot be loaded as a linear probe"):
        linear_probe.read_probe(out)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_fit_is_scikit_learns(n_classes: int) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    given = examples(n_classes=n_classes)
    fitted = fit(given, FitSettings(c=0.5))
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, class_weight="balanced", max_iter=2000))
    theirs.fit(given.features, given.labels)
    logits = (given.features - fitted.mean) / fitted.scale @ fitted.weights.T + fitted.intercepts
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, theirs.predict_proba(given.features), atol=1e-3)
    assert fitted.weights.shape == (n_classes, 6)
    assert fitted.converged


def test_a_feature_that_never_changes_is_harmless() -> None:
    given = examples()
    given.features[:, 2] = 0.1
    fitted = fit(given, FitSettings(c=0.1))
    assert fitted.scale[2] == 1
    assert np.isfinite(fitted.weights).all()


def test_no_speaker_is_on_both_sides() -> None:
    # Features name the speaker and nothing else, labels depend on the speaker alone: perfect for whoever leaks.
    speakers = np.repeat(np.arange(16), 8)
    given = Examples(features=np.eye(16)[speakers] * 5, labels=speakers % 2, speakers=speakers, n_classes=2)
    report = cross_validate(given, FitSettings(n_folds=16, c=1.0))
    assert report["accuracy"] < 0.5
    assert all(fold["n_speakers"] == 1 for fold in report["folds"])
    assert fit(given, FitSettings(c=1.0)).predict(given.features).tolist() == given.labels.tolist()


def test_c_is_chosen_on_the_training_speakers() -> None:
    given = examples(n=90)
    report = cross_validate(given, FitSettings(n_folds=3))
    assert report["macro_f1"] > 1.3 * report["floors"]["prior"]
    assert {fold["c"] for fold in report["folds"]} <= set(GRID)
    whole = choose_c(given, FitSettings(n_folds=3))
    scores = {c: cross_validate(given, FitSettings(n_folds=3, c=c))["macro_f1"] for c in GRID}
    assert scores[whole] == max(scores.values())


def test_too_little_to_fit_on_is_said(small_corpus: Path, encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="1 speakers and 3 classes have labelled clips; speaker-grouped folds need"):
        cross_validate(examples(n_speakers=1), FIXED)
    rows = [{**row, "speaker": f"s{n % 2}"} for n, row in enumerate(read_rows(small_corpus))]
    with pytest.raises(CorpusError, match=r"2 speakers and 4 classes have labelled clips; .* need at least 3"):
        fit_on(write_rows(tmp_path / "two.jsonl", rows), encoder, tmp_path / "x", settings=FitSettings())
    with pytest.raises(AdapterError, match="layer must be 'mean', 'last' or a number from 0 to 2; found '3'"):
        fit_on(small_corpus, encoder, tmp_path / "y", layer="3")
    with pytest.raises(AdapterError, match="'nothing' is no folder and no hub id"):
        fit_on(small_corpus, Path("nothing"), tmp_path / "z")
    assert not (tmp_path / "y").exists()
    with pytest.raises(UsageError, match="is not empty; give another --out"):
        fit_on(small_corpus, encoder, tmp_path)
    with pytest.raises(UsageError, match="--folds must be at least 2"):
        fit_on(small_corpus, encoder, tmp_path / "y", settings=FitSettings(n_folds=1))


def test_missing_packages_are_named(
    small_corpus: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(AdapterError, match=r"pip install 'serxbench\[egemaps\]'"):
        fit_on(small_corpus, Path("egemaps"), tmp_path / "a")
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(UsageError, match=r"needs scikit-learn: pip install 'serxbench\[probe\]'"):
        fit_on(small_corpus, encoder, tmp_path / "b")


def test_features_are_what_they_say(encoder: Path) -> None:
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(encoder).eval()
    waveform = noise(0.6).waveform
    normalised = (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)
    with torch.no_grad():
        states = [
            state[0].double().numpy()
            for state in model(torch.from_numpy(normalised)[None], output_hidden_states=True).hidden_states
        ]
    for layer, frames in {"0": states[0], "2": states[2], "mean": np.mean(states, axis=0)}.items():
        found = load_features(FeatureSettings(kind="ssl", layer=layer), encoder, "cpu", "float32").compute(waveform)
        np.testing.assert_allclose(found, np.concatenate([frames.mean(axis=0), frames.std(axis=0)]), atol=1e-4)


def test_other_models_are_no_encoders(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="is a whisper; an encoder that hears samples at 16000 Hz was wanted"):
        load_features(FeatureSettings(kind="ssl"), tiny_ssl.whisper_classifier(tmp_path), "cpu", "float32")

"""The MSP-Podcast baseline on tiny checkpoints in both published formats, against the recipe worked out in NumPy."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_ssl
from conftest import Serxbench, read_rows

from serxbench.adapters import Loading, msp_ser
from serxbench.adapters._two_floats import read_two_floats
from serxbench.adapters._waveforms import count_frames, shortest_clip
from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.catalog import load_prompt
from serxbench.emotions import EMOTIONS, OTHER
from serxbench.errors import AdapterError
from serxbench.metrics import soft_labels
from serxbench.records import Decoding, Response

PROMPT = load_prompt("closed", EMOTIONS)
KINDS = [(kind, norm) for kind in ("wavlm", "wav2vec2", "hubert") for norm in ("layer", "group")]
ID2LABEL = dict(enumerate(EMOTIONS))


def clip(seconds: float, seed: int = 0) -> Clip:
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tone = 0.2 * np.sin(2 * np.pi * (120 + 80 * seed) * time)
    noise = rng.normal(scale=0.05 * (1 + seed % 3), size=len(time))
    return Clip(waveform=(noise + tone).astype(np.float32), seconds=seconds)


CLIPS = [clip(seconds, seed) for seed, seconds in enumerate((1.0, 0.31, 1.9, 0.12, 0.7, 1.3, 0.5))]
WAVEFORMS = [each.waveform for each in CLIPS]
IDS = [f"u{n}" for n in range(len(CLIPS))]


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    return tiny_ssl.msp_parts()


@pytest.fixture(scope="module")
def hub(parts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_ssl.msp_hub(tmp_path_factory.mktemp("msp") / "hub", parts)


def load(folder: Path, **settings: Any) -> msp_ser.MspSer:
    return msp_ser.load(Loading(folder=folder, settings=settings))


def answer(adapter: Any, clips: list[Clip] = CLIPS) -> list[Response]:
    return list(adapter.generate([f"u{n}" for n in range(len(clips))], clips, PROMPT, Decoding()))


def by_hand(parts: dict[str, Any], waveform: np.ndarray) -> np.ndarray:
    """The recipe for one clip: normalise, encode, pool with attention, classify."""
    import torch
    from transformers import AutoModel

    encoder = AutoModel.from_config(parts["config"]).eval()
    encoder.load_state_dict({key: value for key, value in parts["ssl"].items() if key in encoder.state_dict()})
    x = torch.from_numpy(((waveform - tiny_ssl.MEAN) / (tiny_ssl.STD + 1e-6)).astype(np.float32))
    with torch.no_grad():
        frames = encoder(x[None]).last_hidden_state[0].double().numpy()
    pool = {key: value.double().numpy() for key, value in parts["pool"].items()}
    head = {key: value.double().numpy() for key, value in parts["ser"].items()}
    energy = np.tanh(frames @ pool["sap_linear.weight"].T + pool["sap_linear.bias"]) @ pool["attention"][:, 0]
    share = np.exp(energy - energy.max())
    share /= share.sum()
    mean = (share[:, None] * frames).sum(0)
    spread = np.sqrt(np.maximum((share[:, None] * frames**2).sum(0) - mean**2, 1e-5))
    hidden = head["fc.0.0.weight"] @ np.concatenate([mean, spread]) + head["fc.0.0.bias"]
    hidden = (hidden - hidden.mean()) / np.sqrt(hidden.var() + 1e-5) * head["fc.0.1.weight"] + head["fc.0.1.bias"]
    return np.asarray(head["out.0.weight"] @ np.maximum(hidden, 0) + head["out.0.bias"])


@pytest.mark.parametrize(("kind", "norm"), KINDS)
def test_the_recipe_in_numpy(kind: str, norm: str, tmp_path: Path) -> None:
    parts = tiny_ssl.msp_parts(kind, norm)
    adapter = load(tiny_ssl.msp_hub(tmp_path, parts))
    expected = np.stack([by_hand(parts, waveform) for waveform in WAVEFORMS])
    together = adapter.logits(WAVEFORMS)
    np.testing.assert_allclose(together, expected, atol=1e-4)
    assert expected.std(axis=0).max() > 0.1, "clips that give the same logits prove nothing"
    alone = np.concatenate([adapter.logits([waveform]) for waveform in WAVEFORMS])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    if norm == "group":
        assert (together == alone).all(), "time-normalised front ends are computed clip by clip"


def test_a_frame_of_padding_would_show(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = load(hub)
    assert count_frames(adapter._network.encoder.config, 16000) == 49
    alone = adapter.logits(WAVEFORMS[:1])
    both = [WAVEFORMS[0], WAVEFORMS[2]]
    assert abs(adapter.logits(both)[0] - alone[0]).max() < 1e-4
    monkeypatch.setattr(msp_ser, "count_frames", lambda config, samples: (samples - 1) // 320 + 1)
    assert abs(adapter.logits(both)[0] - alone[0]).max() > 1e-3, "the recipe's own count: 50"
    assert abs(adapter.logits(WAVEFORMS[:1]) - alone).max() == 0, "alone, there is no padding to leak"


def test_one_answer_a_clip_whatever_the_company(hub: Path) -> None:
    adapter = load(hub, one_by_one=True)
    responses = answer(adapter)
    assert [response.id for response in responses] == IDS
    assert [response.audio_seconds for response in responses] == [each.seconds for each in CLIPS]
    assert responses == adapter.generate(IDS[::-1], CLIPS[::-1], PROMPT, Decoding())[::-1]
    assert responses == [adapter.generate([id], [c], PROMPT, Decoding())[0] for id, c in zip(IDS, CLIPS, strict=True)]
    assert [response.text for response in responses] == [response.text for response in answer(load(hub))]
    assert len({response.text for response in responses}) > 1
    for response in responses:
        probabilities = response.probabilities or {}
        assert tuple(probabilities) == EMOTIONS
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-12)
        assert response.text == max(probabilities, key=lambda label: probabilities[label])
    assert adapter.hear(CLIPS, PROMPT).shape == (len(CLIPS), 8)
    assert adapter.hear(CLIPS, PROMPT).dtype == np.float32


def test_classes_are_found_by_name_not_by_place(parts: dict[str, Any], hub: Path, tmp_path: Path) -> None:
    order = [3, 7, 0, 5, 1, 6, 2, 4]
    head = {key: value[order] if key.startswith("out.") else value for key, value in parts["ser"].items()}
    permuted = tiny_ssl.msp_hub(tmp_path, {**parts, "ser": head}, labels=[EMOTIONS[n] for n in order])
    for one, other in zip(answer(load(hub)), answer(load(permuted)), strict=True):
        assert one.text == other.text
        assert one.probabilities == pytest.approx(other.probabilities)


def test_no_more_than_12_seconds_are_heard(hub: Path, parts: dict[str, Any], tmp_path: Path) -> None:
    adapter, whole = load(hub), clip(13.5, seed=4)
    assert adapter.max_seconds == 12
    head = Clip(waveform=whole.waveform[: 12 * SAMPLE_RATE], seconds=12.0)
    (long,), (short,) = answer(adapter, [whole]), answer(adapter, [head])
    assert (long.truncated, long.note, long.audio_seconds) == (True, "cut from 13.5 s to 12 s", 13.5)
    assert (short.truncated, short.note) == (False, None)
    assert long.probabilities == short.probabilities
    assert load(hub, max_seconds=1.5).max_seconds == 1.5
    assert load(tiny_ssl.msp_hub(tmp_path, parts, maxlen=32000)).max_seconds == 2


def test_short_clips_fail_alone(hub: Path) -> None:
    adapter = load(hub)
    assert shortest_clip(adapter._network.encoder.config) == 400
    clips = [CLIPS[0], clip(0.024), clip(0.025), Clip(waveform=np.zeros(0, np.float32), seconds=0.0)]
    responses = answer(adapter, clips)
    assert [response.stop for response in responses] == ["end", "error", "end", "error"]
    assert responses[1].error == "clip of 0.024 s is too short; the model needs at least 0.025 s"
    assert responses[1].probabilities is None
    assert responses[0].text == answer(adapter, CLIPS[:1])[0].text


def test_normalisation_constants_matter(hub: Path) -> None:
    adapter, plain = load(hub), load(hub, mean=0.0, std=1 - 1e-6)
    assert abs(adapter.logits(WAVEFORMS) - plain.logits(WAVEFORMS)).max() > 0.1
    normalised = [(each - tiny_ssl.MEAN) / np.float32(tiny_ssl.STD + 1e-6) for each in WAVEFORMS]
    np.testing.assert_allclose(adapter.logits(WAVEFORMS), plain.logits(normalised), atol=1e-4)


def test_both_formats_are_the_same_model(hub: Path, parts: dict[str, Any], tmp_path: Path) -> None:
    expected = load(hub).logits(WAVEFORMS)
    three = tiny_ssl.msp_three_files(tmp_path / "three", parts)
    np.testing.assert_allclose(load(three, id2label=ID2LABEL).logits(WAVEFORMS), expected, atol=1e-4)
    # Older files: other names under weight normalisation, and no mask token.
    ssl = {key: value for key, value in parts["ssl"].items() if key != "masked_spec_embed"}
    old = {
        key.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for key, value in ssl.items()
    }
    assert len(old.keys() - parts["ssl"].keys()) == 2
    assert "masked_spec_embed" in parts["ssl"]
    best = tiny_ssl.msp_three_files(tmp_path / "best", {**parts, "ssl": old}, kind="best")
    (best / "train_norm_stat.pkl").unlink()
    given = {"id2label": ID2LABEL, "mean": tiny_ssl.MEAN, "std": tiny_ssl.STD}
    np.testing.assert_allclose(load(best, **given).logits(WAVEFORMS), expected, atol=1e-6)
    tiny_ssl.msp_three_files(best, parts, kind="final")
    with pytest.raises(AdapterError, match=r"holds both best_… and final_… files; say which with settings\.files"):
        load(best, **given)
    np.testing.assert_allclose(load(best, files="best", **given).logits(WAVEFORMS), expected, atol=1e-6)


def test_a_deeper_head_and_a_bin_file(parts: dict[str, Any], tmp_path: Path) -> None:
    import torch

    deep = tiny_ssl.msp_parts(layers=2)
    folder = tiny_ssl.msp_hub(tmp_path, deep, classifier_hidden_layers=2)
    expected = load(folder).logits(WAVEFORMS)
    weights = {f"{part}_model.{key}": value for part in ("ssl", "pool", "ser") for key, value in deep[part].items()}
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert (load(folder).logits(WAVEFORMS) == expected).all()


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        (
            "ser",
            lambda w: w.pop("out.0.bias"),
            r"1 weights are not in the checkpoint \(the first: out.0.bias of the cla",
        ),
        (
            "ser",
            lambda w: w.update(extra=w["out.0.bias"]),
            r"1 weights have no place in the classifier \(the first: ext",
        ),
        ("ser", lambda w: w.update({"fc.2.0.weight": w["fc.0.0.weight"]}), "weights are not in the checkpoint"),
        ("pool", lambda w: w.pop("attention"), "1 weights are not in the checkpoint"),
        ("pool", lambda w: w.update(attention=w["attention"].T), r"'attention' of the pooling has the shape \(1, 16\)"),
        ("ssl", lambda w: w.pop("encoder.layer_norm.bias"), "1 weights are not in the checkpoint"),
        ("ssl", lambda w: w.update(lm_head=w["encoder.layer_norm.bias"]), "1 weights have no place in the encoder"),
    ],
)
def test_every_weight_has_its_place(
    part: str, change: Callable[[Any], Any], message: str, parts: dict[str, Any], tmp_path: Path
) -> None:
    weights = dict(parts[part])
    change(weights)
    with pytest.raises(AdapterError, match=message):
        load(tiny_ssl.msp_hub(tmp_path, {**parts, part: weights}))


def test_keys_of_no_part_are_refused(parts: dict[str, Any], hub: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny_ssl.msp_hub(tmp_path, parts)
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "dim_model.out": weights["ser_model.out.0.bias"].clone()}, folder / "model.safetensors")
    with pytest.raises(AdapterError, match=r"holds 'dim_model.out', which is no part of this model"):
        load(folder)


class Malicious:
    """Unpickling it would run a command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


def test_pickles_are_not_run(parts: dict[str, Any], tmp_path: Path) -> None:
    import torch

    marker = tmp_path / "executed"
    pickle.loads(pickle.dumps(Malicious(marker)))  # noqa: S301
    assert marker.exists(), "the trap has to be set for this test to mean anything"
    marker.unlink()
    folder = tiny_ssl.msp_three_files(tmp_path / "three", parts)
    statistics = folder / "train_norm_stat.pkl"
    whole = statistics.read_bytes()
    statistics.write_bytes(pickle.dumps((Malicious(marker), 1.0)))
    with pytest.raises(AdapterError, match=r"it names \w+\.system, which is never called"):
        load(folder, id2label=ID2LABEL)
    statistics.write_bytes(whole)
    torch.save({**parts["ser"], "out.0.bias": Malicious(marker)}, folder / "final_ser.pt")
    with pytest.raises(AdapterError, match=r"cannot be loaded as the MSP-Podcast baseline \(final_ser\.pt: "):
        load(folder, id2label=ID2LABEL)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_two_floats(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "train_norm_stat.pkl"
    for pair in ((np.float32(-0.5), np.float32(0.25)), (np.float64(-0.5), 0.25), (-0.5, np.dtype(">f4").type(0.25))):
        path.write_bytes(pickle.dumps(pair, protocol=protocol))
        assert read_two_floats(path) == (-0.5, 0.25)
    for odd in (0.5, (0.5,), (0.5, "0.5"), (0.5, float("nan")), [0.5, {}], (0.5, True), (0.5, np.int32(2))):
        path.write_bytes(pickle.dumps(odd, protocol=protocol))
        with pytest.raises(AdapterError, match="a pair"):
            read_two_floats(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"std": 0}, "std 0 and max_seconds 12 must be above 0"),
        ({"mean": "x"}, "'mean' must be a number"),
        ({"maxlen": 3}, "no setting 'maxlen'"),
        ({"id2label": {0: "Angry"}}, r"'out.0.weight' of the classifier has the shape \(8, 16\) and not \(1, 16\)"),
        ({"id2label": {1: "Angry", 2: "Sad"}}, "must name the positions 0 … 1"),
        ({"backbone": "nobody/nothing"}, r"`hf download nobody/nothing config\.json`"),
        ({"one_by_one": "yes"}, "settings.one_by_one must be true or false"),
    ],
)
def test_malformed_settings_are_named(
    settings: dict[str, Any], message: str, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(AdapterError, match=message):
        load(hub, **settings)


def test_folders_without_a_checkpoint(parts: dict[str, Any], hub: Path, tmp_path: Path) -> None:
    with pytest.raises(
        AdapterError, match=r"Wanted: final_ssl.pt, …_pool.pt and …_ser.pt \(or best_…\) with train_norm"
    ):
        load(tmp_path)
    with pytest.raises(AdapterError, match=r"the card names no checkpoint\. Put final_ssl\.pt, final_pool\.pt"):
        load(Path())
    three = tiny_ssl.msp_three_files(tmp_path / "three", parts)
    with pytest.raises(AdapterError, match="settings of the card: id2label wanted"):
        load(three)
    (three / "config.json").unlink()
    with pytest.raises(AdapterError, match=r"nothing says which encoder this is; give settings\.backbone"):
        load(three, id2label=ID2LABEL)
    (three / "train_norm_stat.pkl").unlink()
    with pytest.raises(
        AdapterError, match=r"train_norm_stat.pkl: no such file; .* give settings.mean and settings.std"
    ):
        load(three, id2label=ID2LABEL)
    with pytest.raises(AdapterError, match="msp_ser has no prompt style 'spoken'"):
        msp_ser.load(replace(Loading(folder=hub), prompt_style="spoken"))


def test_probabilities_reach_predictions_and_scores(
    hub: Path, small_corpus: Path, tmp_path: Path, serxbench: Serxbench
) -> None:
    (small_corpus.parent / "clips" / "u05.wav").write_bytes(b"no audio")
    data = f"manifest:{small_corpus}"
    done = serxbench("run", "--model", hub, "--mode", "closed", "--data", data, "--out", "run", "--batch-size", 5)
    assert done.returncode == 3, done.stderr
    predictions = read_rows(tmp_path / "run" / "predictions.jsonl")
    assert [row["status"] for row in predictions] == ["error" if n == 5 else "ok" for n in range(12)]
    given = [row["probabilities"] for row in predictions if row["status"] == "ok"]
    assert all(tuple(row) == EMOTIONS and sum(row.values()) == pytest.approx(1) for row in given)
    # What scores.json says is what the metric says of the file, with the failed answer as certain of no class.
    classes = (*EMOTIONS, OTHER, None)
    votes = [
        [sum(vote["primary"] == label for vote in row["votes"]) for label in classes] for row in read_rows(small_corpus)
    ]
    answers = [row.get("probabilities", {None: 1.0}) for row in predictions]
    table = [[row.get(label, 0.0) for label in classes] for row in answers]
    expected = soft_labels(votes, probabilities=table)
    soft = json.loads((tmp_path / "run" / "scores.json").read_text())["soft"]
    assert (soft["n"], soft["n_unanswered"]) == (12, 1)
    for name in ("jsd", "tv", "sqdist_unbiased", "sqdist_plugin", "jsd_floor", "jsd_panel"):
        assert soft[name] == pytest.approx(getattr(expected, name))
    assert f"soft labels: JSD {soft['jsd']:.3f} (a perfect model " in done.stdout
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (manifest["parser"], manifest["model"]["adapter"]) == ("identity", "msp_ser")

"""Audio classifiers of transformers on tiny checkpoints, and what a classifier's labels mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_ssl

from serxbench.adapters import Loading, find_adapter
from serxbench.adapters._classifier import read_id2label, read_policy
from serxbench.adapters.audio_classifier import MODEL_TYPES, AudioClassifier, load
from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.catalog import embedded_folder, load_prompt, read_card
from serxbench.emotions import EMOTIONS, OTHER, options_of
from serxbench.errors import AdapterError
from serxbench.records import Decoding, Response

PROMPT = load_prompt("closed", EMOTIONS)
OPEN = load_prompt("open", EMOTIONS)


def clip(seconds: float, seed: int = 0) -> Clip:
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    noise = rng.normal(scale=0.05 * (1 + seed % 3), size=len(time))
    return Clip(
        waveform=(noise + 0.2 * np.sin(2 * np.pi * (120 + 80 * seed) * time)).astype(np.float32), seconds=seconds
    )


CLIPS = [clip(seconds, seed) for seed, seconds in enumerate((1.0, 0.31, 1.9, 0.12, 0.7))]
WAVEFORMS = [each.waveform for each in CLIPS]


def answer(adapter: AudioClassifier, clips: list[Clip] = CLIPS, prompt: Any = PROMPT) -> list[Response]:
    return adapter.generate([f"u{n}" for n in range(len(clips))], clips, prompt, Decoding())


def build(folder: Path, kind: str, norm: str = "layer") -> Path:
    if kind == "whisper":
        return tiny_ssl.whisper_classifier(folder)
    return tiny_ssl.audio_classifier(folder, kind=kind, norm=norm)


@pytest.mark.parametrize("kind", MODEL_TYPES)
@pytest.mark.parametrize("norm", ["layer", "group"])
def test_a_clip_is_heard_alike_in_any_company(kind: str, norm: str, tmp_path: Path) -> None:
    adapter = load(Loading(folder=build(tmp_path, kind, norm)))
    alone = np.concatenate([adapter.logits([waveform]) for waveform in WAVEFORMS])
    assert alone.std(axis=0).max() > 0.05, "clips that give the same logits prove nothing"
    together = adapter.logits(WAVEFORMS)
    np.testing.assert_allclose(together, alone, atol=1e-4)
    shares_batches = norm == "layer" and kind in ("wav2vec2", "hubert", "wavlm", "unispeech-sat")
    assert adapter._together == (shares_batches or kind == "whisper")
    if not adapter._together:
        assert (together == alone).all()
    apart = load(Loading(folder=tmp_path, settings={"one_by_one": True}))
    assert (apart.logits(WAVEFORMS) == np.concatenate([apart.logits([each]) for each in WAVEFORMS])).all()


def test_padding_would_change_a_front_end_that_normalises_time(tmp_path: Path) -> None:
    adapter = load(Loading(folder=build(tmp_path, "wav2vec2", "group")))
    adapter._together = True
    padded = adapter.logits(WAVEFORMS)
    adapter._together = False
    assert abs(padded - adapter.logits(WAVEFORMS)).max() > 0.01


def test_the_logits_are_those_of_transformers(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForAudioClassification

    folder = build(tmp_path, "hubert")
    model = AutoModelForAudioClassification.from_pretrained(folder)
    waveform = WAVEFORMS[0]
    normalised = (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)
    with torch.no_grad():
        expected = model(torch.from_numpy(normalised)[None]).logits[0].numpy()
    heard = load(Loading(folder=folder)).hear(CLIPS[:1], PROMPT)
    np.testing.assert_allclose(heard[0], expected, atol=1e-5)


def test_the_feature_extractor_decides_on_loudness_and_mask(tmp_path: Path) -> None:
    folder = build(tmp_path, "wav2vec2")
    louder = [3 * waveform for waveform in WAVEFORMS]
    adapter = load(Loading(folder=folder))
    np.testing.assert_allclose(adapter.logits(louder), adapter.logits(WAVEFORMS), atol=1e-3)
    path = folder / "preprocessor_config.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "do_normalize": False}))
    adapter = load(Loading(folder=folder))
    assert abs(adapter.logits(louder) - adapter.logits(WAVEFORMS)).max() > 1e-3
    path.write_text(json.dumps({**said, "return_attention_mask": False}))
    assert not load(Loading(folder=folder))._together, "without a mask, padding would be heard"
    path.write_text(json.dumps({**said, "sampling_rate": 8000}))
    with pytest.raises(AdapterError, match="hears audio at 8000 Hz; only 16000 is supported"):
        load(Loading(folder=folder))


def test_long_and_short_clips(tmp_path: Path) -> None:
    adapter = load(Loading(folder=build(tmp_path / "whisper", "whisper")))
    head = Clip(waveform=clip(3.5, 2).waveform[: 2 * SAMPLE_RATE], seconds=2.0)
    long, short = answer(adapter, [clip(3.5, 2), head])
    assert (long.truncated, long.note, short.truncated) == (True, "cut from 3.5 s to 2 s", False)
    assert long.text == short.text
    folder = build(tmp_path / "wavlm", "wavlm")
    assert not answer(load(Loading(folder=folder)), [clip(3.5)])[0].truncated
    beginning = Clip(waveform=clip(0.5).waveform, seconds=700.0)
    assert answer(load(Loading(folder=folder)), [beginning])[0].note == "cut from 700.0 s to 600 s"
    assert answer(load(Loading(folder=folder, settings={"max_seconds": 1.5})), [clip(3.5)])[0].truncated
    failed, fine = answer(load(Loading(folder=folder)), [clip(0.02), clip(0.025)])
    assert (failed.stop, fine.stop) == ("error", "end")
    assert failed.error == "clip of 0.020 s is too short; the model needs at least 0.025 s"
    with pytest.raises(AdapterError, match="max_seconds must be a number of seconds above 0"):
        load(Loading(folder=folder, settings={"max_seconds": 0}))


def test_classes_are_found_by_name_not_by_place(tmp_path: Path) -> None:
    order = [3, 7, 0, 5, 1, 6, 2, 4]
    here = tiny_ssl.audio_classifier(tmp_path / "here")
    there = tiny_ssl.audio_classifier(tmp_path / "there", labels=[EMOTIONS[n] for n in order])
    from safetensors.torch import load_file, save_file

    weights = load_file(here / "model.safetensors")
    moved = {key: value[order].contiguous() for key, value in weights.items() if key.startswith("classifier.")}
    save_file({**weights, **moved}, there / "model.safetensors", {"format": "pt"})
    one, other = answer(load(Loading(folder=here))), answer(load(Loading(folder=there)))
    assert [response.text for response in one] == [response.text for response in other]
    for response, again in zip(one, other, strict=True):
        assert response.probabilities == pytest.approx(again.probabilities)


def test_four_classes_of_superb(tmp_path: Path) -> None:
    settings = read_card(embedded_folder("model_cards") / "superb-hubert.md").settings
    labels = ("neu", "hap", "ang", "sad")
    folder = tiny_ssl.audio_classifier(tmp_path, labels=labels, kind="hubert", use_weighted_layer_sum=True)
    adapter = load(Loading(folder=folder, settings=settings))
    for response in answer(adapter):
        assert tuple(response.probabilities or ()) == ("Angry", "Sad", "Happy", "Neutral")
    # Published as a .bin of 2021, with the names that weight normalisation had then.
    import torch
    from safetensors.torch import load_file

    weights = {
        key.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for key, value in load_file(folder / "model.safetensors").items()
    }
    assert sum(key.endswith(("weight_g", "weight_v")) for key in weights) == 2
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    old = load(Loading(folder=folder, settings=settings))
    np.testing.assert_allclose(old.logits(WAVEFORMS), adapter.logits(WAVEFORMS), atol=1e-6)


def test_a_checkpoint_without_a_head_is_refused(tmp_path: Path) -> None:
    folder = tiny_ssl.backbone(tmp_path)
    with pytest.raises(AdapterError, match=r"4 weights are not in the checkpoint \(the first: classifier.bias\)"):
        load(Loading(folder=folder))


def test_every_model_type_belongs_to_one_family() -> None:
    for name in ("msp_ser", "linear_probe", "qwen2_audio"):
        assert not set(MODEL_TYPES) & set(find_adapter(name).MODEL_TYPES)


#: Shares of one clip: what softmax gives for these logits.
SHARES = {"ang": 0.1, "excited": 0.2, "hap": 0.15, "con": 0.25, "unknown": 0.3}
LOGITS = np.log(list(SHARES.values())) + 7
LABELS = {"excited": "Happy", "con": "Contempt"}
FOUR = options_of(("Angry", "Sad", "Happy", "Neutral"))


@pytest.mark.parametrize(
    ("settings", "options", "expected"),
    [
        # Two labels of one class are added.
        ({}, None, {"Angry": 0.1, "Happy": 0.35, "Contempt": 0.25, OTHER: 0.3}),
        ({"extra": "drop"}, None, {"Angry": 1 / 7, "Happy": 0.5, "Contempt": 2.5 / 7}),
        # Contempt is not among the options; Other always is.
        ({}, FOUR, {"Angry": 0.1 / 0.75, "Happy": 0.35 / 0.75, OTHER: 0.3 / 0.75}),
        ({"extra": "drop"}, FOUR, {"Angry": 0.1 / 0.45, "Happy": 0.35 / 0.45}),
        ({"restrict": False}, FOUR, {"Angry": 0.1, "Happy": 0.35, "Contempt": 0.25, OTHER: 0.3}),
        ({"restrict": False, "extra": "drop"}, FOUR, {"Angry": 1 / 7, "Happy": 0.5, "Contempt": 2.5 / 7}),
    ],
)
def test_policies_worked_by_hand(settings: dict[str, Any], options: Any, expected: dict[str, float]) -> None:
    policy = read_policy(tuple(SHARES), {"labels": LABELS, **settings})
    found = policy.probabilities(LOGITS, options)
    assert found == pytest.approx(expected)
    assert list(found) == list(expected), "in the order of the classes"
    assert sum(found.values()) == pytest.approx(1, abs=1e-12)


def test_extreme_logits_and_equal_ones() -> None:
    policy = read_policy(("neutral", "ang"), {})
    assert policy.probabilities(np.array([-1e4, 1e4]), None) == {"Angry": 1.0, "Neutral": 0.0}
    contempt = read_policy(("contempt", "ang"), {}).probabilities(np.array([1e4, -1e4]), FOUR)
    assert contempt == {"Angry": 1.0}, "what may not be chosen takes no part, however sure the model is"
    assert max(policy.probabilities(np.zeros(2), None).items(), key=lambda pair: pair[1])[0] == "Angry"


@pytest.mark.parametrize(
    ("names", "settings", "message"),
    [
        (("ang", "LABEL_1"), {}, "the model has a label 'LABEL_1'; say in the card which class it is"),
        (("ang", "excited"), {}, "the model has a label 'excited'"),
        (("ang", "sad"), {"labels": {"angr": "Angry"}}, "no label of the model 'angr'; did you mean 'ang'"),
        (("ang", "sad"), {"labels": {"ang": "Anger"}}, "no emotion class 'Anger'; did you mean 'Angry'"),
        (("ang", "sad"), {"extra": "keep"}, "settings.extra must be 'other' or 'drop'; found 'keep'"),
        (("ang", "sad"), {"restrict": 1}, "settings.restrict must be true or false; found 1"),
        (("ang", "sad"), {"labels": ["Angry"]}, "settings.labels must map"),
    ],
)
def test_malformed_policies_are_named(names: tuple[str, ...], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        read_policy(names, settings)


def test_nothing_left_to_choose_is_said() -> None:
    policy = read_policy(("contempt", "other"), {"extra": "drop"})
    with pytest.raises(
        AdapterError, match=r"the model knows Contempt, Other, and none of them may be chosen \(on offer"
    ):
        policy.probabilities(np.zeros(2), FOUR)


def test_obvious_names_and_positions() -> None:
    names = ("生气/angry", "Sadness", " HAP", "surprised", "fearful", "disgusted", "contempt", "neu", "<unk>")
    assert read_policy(names, {}).classes == (*EMOTIONS, OTHER)
    assert read_id2label({"1": "b", "0": "a"}, "x") == ("a", "b")
    for odd in (None, {}, {"a": "b"}, {0: "a", 2: "b"}):
        with pytest.raises(AdapterError, match="x: "):
            read_id2label(odd, "x")


def test_open_questions_leave_the_choice_free(tmp_path: Path) -> None:
    folder = tiny_ssl.audio_classifier(tmp_path, labels=("neu", "hap", "ang", "disgust"))
    adapter, narrow = load(Loading(folder=folder)), load_prompt("closed", ("Angry", "Sad", "Happy", "Neutral"))
    assert "Disgust" in (answer(adapter, prompt=OPEN)[0].probabilities or {})
    assert "Disgust" not in (answer(adapter, prompt=narrow)[0].probabilities or {})

"""`--decode loglik` in this process: the shares that the first token's own distribution gives the options."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tiny_models import qwen2_audio

from serxbench.adapters import Loading
from serxbench.adapters.qwen2_audio import load
from serxbench.audio import Clip
from serxbench.catalog import load_prompt
from serxbench.emotions import EMOTIONS
from serxbench.engines._weighing import WeighingAdapter, weigh_response
from serxbench.errors import UsageError
from serxbench.records import Decoding, Response
from serxbench.stages.controls import SilentAdapter

PROMPT = load_prompt("closed", EMOTIONS)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load(Loading(folder=qwen2_audio(tmp_path_factory.mktemp("model"))))


def clips(*samples: int) -> list[Clip]:
    noise = np.random.default_rng(1)
    waveforms = [noise.normal(scale=0.1, size=n).astype(np.float32) for n in samples]
    return [Clip(waveform=each, seconds=len(each) / 16_000) for each in waveforms]


def test_the_shares_are_those_of_the_first_tokens_logits(adapter: Any) -> None:
    asked = clips(9_000, 300, 20_000)
    found = WeighingAdapter(adapter, "tiny").generate(["a", "short", "c"], asked, PROMPT, Decoding())
    assert [response.stop for response in found] == ["end", "error", "end"]
    logits = adapter.hear([asked[0], asked[2]], PROMPT).astype(np.float64)
    assert PROMPT.options is not None
    # The tokenizer of the tiny model has bytes alone, so a letter is one token.
    tokens = [adapter._processor.tokenizer.convert_tokens_to_ids(letter) for letter, _ in PROMPT.options]
    for response, row in zip((found[0], found[2]), logits, strict=True):
        raw = np.exp(row[tokens] - row[tokens].max())
        wanted = {label: value for (_, label), value in zip(PROMPT.options, raw / raw.sum(), strict=True)}
        assert response.probabilities == pytest.approx(wanted, abs=1e-4)
        assert response.text == max(wanted, key=lambda label: wanted[label])
        assert math.isclose(sum((response.probabilities or {}).values()), 1.0)
        share = np.exp(row[tokens] - row.max()).sum() / np.exp(row - row.max()).sum()
        assert response.note == f"the options have {share:.3f} of the first token"


def test_a_batch_and_prepared_inputs_change_nothing(adapter: Any) -> None:
    asked, weighing = clips(9_000, 12_000, 20_000), WeighingAdapter(adapter, "tiny")
    together = weighing.generate(["a", "b", "c"], asked, PROMPT, Decoding())
    ahead = weighing.prepare(asked, PROMPT)
    assert weighing.generate(["a", "b", "c"], asked, PROMPT, Decoding(), prepared=ahead) == together
    alone = [weighing.generate([id], [clip], PROMPT, Decoding())[0] for id, clip in zip("abc", asked, strict=True)]
    for one, other in zip(alone, together, strict=True):
        assert one.text == other.text
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)


def test_silence_is_weighed_in_a_control_run(adapter: Any) -> None:
    asked = clips(9_000, 9_000)
    heard = WeighingAdapter(SilentAdapter(adapter), "tiny").generate(["a", "b"], asked, PROMPT, Decoding())
    assert heard[0].probabilities == pytest.approx(heard[1].probabilities)
    assert heard[0].audio_sha256 == heard[1].audio_sha256


def test_a_model_that_shows_no_probabilities() -> None:
    with pytest.raises(UsageError, match="'majority' shows no probabilities of a first token here"):
        WeighingAdapter(object(), "majority")


def test_no_letter_among_the_first_tokens_is_an_error_and_no_guess() -> None:
    found = weigh_response(
        Response(id="a", stop="end", note="resampled"), {"The": -0.1}, [("A", "angry"), ("B", "sad")]
    )
    assert (found.stop, found.text, found.probabilities) == ("error", None, None)
    assert weigh_response(Response(id="a", stop="end"), {}, [("A", "angry")]).stop == "error"

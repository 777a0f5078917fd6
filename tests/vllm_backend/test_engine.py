"""What stops a run: a model that does not hear, other tokens than the adapter's, a checkpoint that vLLM refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serxbench.adapters import Base, Loading
from serxbench.adapters.qwen2_audio import load_renderer
from serxbench.catalog import read_card
from serxbench.engines import Asked, Batch, Starting
from serxbench.engines._vllm_options import VllmOptions
from serxbench.engines._vllm_session import Session
from serxbench.engines.vllm import start
from serxbench.errors import AdapterError
from serxbench.records import Decoding, Prompt, Utterance

NANO = Path(__file__).parents[2] / "model_cards" / "nano"
PROMPT = Prompt(name="open", text="What emotion do you think the audio expresses?", sha256="0")


def starting(folder: Path = NANO, **options: Any) -> Starting:
    def no_adapter() -> Any:
        raise AssertionError("vLLM loads the weights, nobody else")

    return Starting(
        name="nano",
        adapter="qwen2_audio",
        repository="nano",
        loading=Loading(folder=folder),
        load=no_adapter,
        batch_size=8,
        options=options,
    )


@pytest.fixture
def asked(write_clip: Callable[..., Path]) -> Callable[..., Asked]:
    def ask(n: int, **settings: Any) -> Asked:
        clips = [write_clip(f"u{k}.wav", seconds=0.4 + 0.2 * k) for k in range(n)]
        utterances = [Utterance(id=clip.stem, audio=clip) for clip in clips]
        plan = start(starting()).plan(utterances)
        limit = Decoding(max_new_tokens=8)
        return Asked(utterances=utterances, plan=plan, done=frozenset(), prompt=PROMPT, decoding=limit, **settings)

    return ask


def answer(asked: Asked, **options: Any) -> Iterator[Batch]:
    return start(starting(**options)).answer(asked)


def test_a_deaf_model_is_stopped(asked: Callable[..., Asked], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Session.ask

    def lose_the_sound(self: Session, key: str, tokens: Any, sound: Any, *given: Any, **named: Any) -> None:
        whole(self, key, tokens, np.zeros_like(sound), *given, **named)

    monkeypatch.setattr(Session, "ask", lose_the_sound)
    with pytest.raises(AdapterError, match="the model does not hear: with silence in place of 3 of 3 clips"):
        list(answer(asked(3)))


def test_a_model_that_hears_says_how_much(asked: Callable[..., Asked]) -> None:
    events: list[Any] = []
    batches = list(answer(asked(3, note=events.append)))
    assert [batch.responses[0].id for batch in sorted(batches, key=lambda batch: batch.number)] == ["u0", "u1", "u2"]
    (heard,) = [event for event in events if event["event"] == "heard"]
    assert heard["moved_by_silence"] > 0.01


def test_other_tokens_than_the_adapters_stop_the_run(
    asked: Callable[..., Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Session.ask

    def add_a_token(self: Session, key: str, tokens: Any, *given: Any, **named: Any) -> None:
        whole(self, key, [*tokens, 5], *given, **named)

    monkeypatch.setattr(Session, "ask", add_a_token)
    with pytest.raises(AdapterError, match=r"vLLM made \d+ tokens of the prompt and the adapter sends \d+"):
        list(answer(asked(2)))


def test_no_more_requests_are_open_than_allowed(asked: Callable[..., Asked], monkeypatch: pytest.MonkeyPatch) -> None:
    n_open = [0]
    asks, waits = Session.ask, Session.wait
    most = 0

    def ask(self: Session, *given: Any, **named: Any) -> None:
        nonlocal most
        asks(self, *given, **named)
        n_open[0] += 1
        most = max(most, n_open[0])

    def wait(self: Session) -> Any:
        ended = waits(self)
        n_open[0] -= len(ended)
        return ended

    monkeypatch.setattr(Session, "ask", ask)
    monkeypatch.setattr(Session, "wait", wait)
    assert len(list(answer(asked(9), concurrency=3))) == 9
    assert most == 3


def test_a_clip_that_vllm_refuses_costs_no_other(asked: Callable[..., Asked]) -> None:
    # The prompt has 44 tokens without the sound, 10 of which 0.4 s takes; the longer clips do not fit.
    batches = list(answer(asked(8, silent=True), max_model_len=66))
    responses = [batch.responses[0] for batch in sorted(batches, key=lambda batch: batch.number)]
    assert {response.stop for response in responses[:2]} <= {"end", "length"}
    assert responses[-1].stop == "error"
    assert "vLLM refuses it" in str(responses[-1].error)
    assert responses[-1].audio_seconds is not None


def test_closing_the_iterator_frees_the_engine(asked: Callable[..., Asked], monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    whole = Session.close
    monkeypatch.setattr(Session, "close", lambda self: (closed.append(True), whole(self))[-1])
    batches: Any = answer(asked(4, silent=True))
    next(batches)
    assert not closed
    batches.close()
    assert closed


def test_the_renderer_sends_what_the_adapter_sends() -> None:
    renderer = load_renderer(Loading(folder=NANO))
    for samples in (1600, 1601, 1759, 1760, 1761, 16_000, 95_999, 96_000):
        built = renderer.build_tokens(np.zeros(samples, np.float32), PROMPT)
        assert renderer.tokens(samples, PROMPT) == built


def test_what_cannot_be_asked_is_said_before_anything_is_loaded() -> None:
    plain = starting()
    lora = Loading(folder=Path("lora"), base=Base(adapter="qwen2_audio", loading=plain.loading))
    with pytest.raises(AdapterError, match="serxbench merge"):
        start(Starting(**{**vars(plain), "loading": lora}))
    with pytest.raises(AdapterError, match="cannot be asked through vLLM; use --backend transformers"):
        start(Starting(**{**vars(plain), "adapter": "salmonn"}))


def test_a_checkpoint_that_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="cannot be loaded by vLLM"):
        Session(tmp_path, "float32", "cpu", VllmOptions(enforce_eager=True))


def test_the_card_of_nano_is_as_the_tests_take_it() -> None:
    card = read_card(NANO.parent / "nano.md")
    assert (card.adapter, card.prompt_style, card.dtype) == ("qwen2_audio", "chat", "float32")

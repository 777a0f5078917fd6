"""The contract of an adapter on tiny SALMONNs in the official formats, and parity with the authors' code."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_salmonn

pytest.importorskip("peft", reason="SALMONN needs the extra 'lora'")

from serxbench.adapters.salmonn import Salmonn
from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.engines._hearing import check_hearing
from serxbench.records import Decoding, Prompt

GOLDEN = Path(__file__).parent / "golden"
OFFICIAL_PROMPT = Prompt(name="official", text="Describe the emotion of the speaker in one word.", sha256="0" * 64)
SHORT = Decoding(max_new_tokens=16)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = tmp_path_factory.mktemp("salmonn")
    return {name: tiny_salmonn.build(made / name, config) for name, config in tiny_salmonn.CONFIGS.items()}


@pytest.fixture(scope="module")
def adapters(folders: dict[str, Path]) -> dict[str, Salmonn]:
    return {name: tiny_salmonn.load(folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def adapter(adapters: dict[str, Salmonn]) -> Salmonn:
    return adapters["official"]


def clip(seconds: float, seed: int = 0) -> Clip:
    return Clip(waveform=tiny_salmonn.clip(seconds, seed), seconds=seconds)


CLIPS = [clip(seconds, seed) for seed, seconds in enumerate((1.0, 0.31, 4.9, 0.12, 2.7))]
IDS = [f"u{n}" for n in range(len(CLIPS))]


def row_of(adapter: Salmonn, each: Clip, text: str = OFFICIAL_PROMPT.text) -> Any:
    """One row as build_inputs makes it; rows with different texts meet only here."""
    from serxbench.adapters._salmonn.model import Row

    tokenizer = adapter._processor.tokenizer
    before, after = adapter.render(dataclasses.replace(OFFICIAL_PROMPT, text=text)).split("<SpeechHere>")
    return Row(
        before=[1, *tokenizer(before, add_special_tokens=False).input_ids],
        audio=adapter.listen(adapter._cut(each)),
        after=tokenizer(after, add_special_tokens=False).input_ids,
    )


def next_logits(adapter: Salmonn, rows: list[Any]) -> Any:
    """The logits after each row's tokens, with the positions that its own text has without padding."""
    import torch

    from serxbench.adapters._salmonn.model import join_rows

    with torch.inference_mode():
        inputs = join_rows(adapter._model, rows)
        positions = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        return adapter._model(**inputs, position_ids=positions).logits


def answer(adapter: Salmonn, rows: list[Any], decoding: Decoding) -> list[list[int]]:
    import torch

    from serxbench.adapters._salmonn.model import join_rows

    with torch.inference_mode():
        inputs = join_rows(adapter._model, rows)
        tokens = adapter._model.generate(**inputs, generation_config=adapter._generation_config(decoding))
    found: list[list[int]] = tokens.tolist()
    return found


class TestParity:
    """Golden tensors of the authors' code on the same files; see golden/make_salmonn.py."""

    @pytest.mark.parametrize(
        ("name", "seconds"),
        [
            *(("official", seconds) for seconds in (0.7, 5.0, 12.0, 31.0)),
            *(("other", seconds) for seconds in (0.7, 5.0, 12.0)),
        ],
    )
    def test_beats_audio_tokens_and_logits(self, adapters: dict[str, Salmonn], name: str, seconds: float) -> None:
        import torch

        adapter = adapters[name]
        golden = np.load(GOLDEN / f"salmonn-{name}.npz")
        heard = adapter._cut(clip(seconds, seed=3))
        padded = np.pad(heard, (0, max(0, SAMPLE_RATE - len(heard))))
        with torch.inference_mode():
            beats = adapter._ears.beats(torch.from_numpy(padded))[0, ::8]
        row = row_of(adapter, clip(seconds, seed=3))
        logits = next_logits(adapter, [row])[0, -8:]
        for piece, found in (("beats", beats), ("tokens", row.audio), ("logits", logits)):
            wanted = golden[f"{piece}-{seconds:g}"]
            assert found.shape == wanted.shape
            assert np.abs(wanted).max() > 0.5
            assert np.abs(found.numpy() - wanted).max() < 1e-5, piece

    def test_golden_files_hold_nothing_else(self) -> None:
        files = sorted(GOLDEN.glob("*.npz"))
        assert [file.stem for file in files] == ["salmonn-official", "salmonn-other"]
        assert sum(file.stat().st_size for file in files) < 1_000_000

    def test_official_sizes_add_up(self) -> None:
        """What was trained, three times over (two moments of Adam) in float32, is nearly all of salmonn_v1.pth."""
        import torch
        from peft import LoraConfig, inject_adapter_in_model
        from transformers import LlamaConfig, LlamaForCausalLM

        from serxbench.adapters._salmonn.fusion import Fusion, FusionSizes

        def n_trained(width: int, layers: int, heads: int) -> int:
            with torch.device("meta"):
                sizes = FusionSizes(speech=1280, audio=768, hidden=768, inner=3072, layers=2, queries=1, llm=width)
                fusion = Fusion(sizes)
                config = LlamaConfig(hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads)
                lora = LoraConfig(r=8, lora_alpha=32, target_modules=["q_proj", "v_proj"])
                llm = inject_adapter_in_model(lora, LlamaForCausalLM(config), low_cpu_mem_usage=True)
            added = [weight for name, weight in llm.named_parameters() if "lora_" in name]
            return sum(weight.numel() for weight in [*fusion.parameters(), *added])

        assert n_trained(4096, 32, 32) == 30_186_240
        thirteen = n_trained(5120, 40, 40)
        assert thirteen == 33_332_992
        assert 0 < 400_466_533 - thirteen * 4 * 3 < 1_000_000


class TestAudio:
    def test_always_88_audio_tokens(self, adapter: Salmonn) -> None:
        for seconds in (0.3, 1.0, 7.3, 30.0, 33.0):
            assert row_of(adapter, clip(seconds)).audio.shape == (88, 64)

    def test_silence_after_the_end_is_not_the_clip(self, adapter: Salmonn) -> None:
        """A clip and the same clip with silence differ: BEATs hears silence, and has nothing to say about no sound."""
        short, waveform = clip(2.0), np.zeros(4 * SAMPLE_RATE, np.float32)
        waveform[: 2 * SAMPLE_RATE] = short.waveform
        padded = Clip(waveform=waveform, seconds=4.0)
        difference = (row_of(adapter, short).audio - row_of(adapter, padded).audio).abs().amax(1)
        assert difference[:4].max() > 1e-3
        assert difference[14:].max() < 1e-4, "past 4 s and the reach of BEATs, both are the same silence"

    def test_short_clips_are_padded_to_a_second(self, adapter: Salmonn) -> None:
        head = clip(0.4)
        whole = Clip(waveform=np.pad(head.waveform, (0, SAMPLE_RATE - len(head.waveform))), seconds=1.0)
        first, second = adapter.generate(["a", "b"], [head, whole], OFFICIAL_PROMPT, SHORT)
        assert first.text == second.text
        assert (first.note, second.note) == ("padded with silence to 1 s", None)

    def test_long_clips_are_cut_and_say_so(self, adapter: Salmonn) -> None:
        whole = clip(31.5, seed=3)
        head = Clip(waveform=whole.waveform[: 30 * SAMPLE_RATE], seconds=30.0)
        long, short = adapter.generate(["long", "short"], [whole, head], OFFICIAL_PROMPT, SHORT)
        assert (long.truncated, long.audio_seconds, long.note) == (True, 31.5, "cut from 31.5 s to 30 s")
        assert (short.truncated, short.note) == (False, None)
        assert long.text == short.text

    def test_a_short_clip_fails_alone(self, adapter: Salmonn) -> None:
        clips = [CLIPS[0], clip(0.05), CLIPS[1], Clip(waveform=np.zeros(0, np.float32), seconds=0.0)]
        responses = adapter.generate(list("abcd"), clips, OFFICIAL_PROMPT, SHORT)
        assert [response.stop == "error" for response in responses] == [False, True, False, True]
        assert responses[1].error == "clip of 0.050 s is too short; the model needs at least 0.1 s"
        assert responses[1].text is None
        assert responses[0].text == adapter.generate(["a"], CLIPS[:1], OFFICIAL_PROMPT, SHORT)[0].text


class TestPrompt:
    def test_text(self, adapter: Salmonn) -> None:
        assert adapter.render(OFFICIAL_PROMPT) == (
            "USER: <Speech><SpeechHere></Speech> Describe the emotion of the speaker in one word.\nASSISTANT:"
        )

    def test_halves_are_tokenised_apart(self, adapter: Salmonn) -> None:
        prompt = dataclasses.replace(OFFICIAL_PROMPT, text="Why {this}?")
        inputs = adapter.build_inputs([adapter._cut(CLIPS[0])], prompt)
        before = ["<s>", "▁", *"USER:", "▁", *"<Speech>"]
        after = ["▁", *"</Speech>", "▁", *"Why", "▁", *"{this}?", "<0x0A>", *"ASSISTANT:"]
        ids = [adapter._processor.tokenizer.convert_tokens_to_ids(half) for half in (before, after)]
        embedding = adapter._model.get_input_embeddings().weight
        found = inputs["inputs_embeds"][0]
        assert found.shape[0] == len(before) + 88 + len(after)
        assert found[: len(before)].equal(embedding[ids[0]])
        assert found[-len(after) :].equal(embedding[ids[1]])

    @pytest.mark.parametrize("legacy", [None, True, False])
    def test_a_sentencepiece_file_is_read_as_sentencepiece_reads_it(
        self, folders: dict[str, Path], tmp_path: Path, legacy: bool | None
    ) -> None:
        """Vicuna comes with tokenizer.model alone; its two versions differ in what their settings say of `legacy`."""
        sentencepiece = pytest.importorskip("sentencepiece")
        pytest.importorskip("google.protobuf")
        import json

        from serxbench.adapters.salmonn import _load_tokenizer

        corpus = tmp_path / "corpus.txt"
        corpus.write_text(
            "USER: Describe the emotion of the speaker in one word. ASSISTANT: happy or sad speech\n" * 50
        )
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus),
            model_prefix=str(tmp_path / "tokenizer"),
            model_type="bpe",
            vocab_size=330,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            split_digits=True,
            minloglevel=2,
        )
        settings = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
        settings |= {} if legacy is None else {"legacy": legacy}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
        config = json.loads((folders["official"] / "vicuna" / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(config))
        raw = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
        tokenizer = _load_tokenizer(tmp_path)
        for half in ("USER: <Speech>", "</Speech> Describe the emotion of the speaker in one word.\nASSISTANT:"):
            assert tokenizer(half, add_special_tokens=False).input_ids == raw.encode(half)
        assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)
        assert tokenizer.decode([*raw.encode("happy or sad"), 2], skip_special_tokens=True) == "happy or sad"


class TestBatches:
    def test_one_response_a_clip_in_order_and_repeatable(self, adapter: Salmonn) -> None:
        first = adapter.generate(IDS, CLIPS, OFFICIAL_PROMPT, SHORT)
        assert [response.id for response in first] == IDS
        assert [response.audio_seconds for response in first] == [each.seconds for each in CLIPS]
        assert first == adapter.generate(IDS, CLIPS, OFFICIAL_PROMPT, SHORT)

    @pytest.mark.parametrize("num_beams", [1, 4])
    def test_the_batch_changes_nothing(self, folders: dict[str, Path], num_beams: int) -> None:
        adapter = tiny_salmonn.load(folders["official"], num_beams=num_beams)
        together = adapter.generate(IDS, CLIPS, OFFICIAL_PROMPT, SHORT)
        alone = [adapter.generate([id], [each], OFFICIAL_PROMPT, SHORT)[0] for id, each in zip(IDS, CLIPS, strict=True)]
        backwards = adapter.generate(IDS[::-1], CLIPS[::-1], OFFICIAL_PROMPT, SHORT)[::-1]
        assert together == alone == backwards
        assert len({response.text for response in together}) > 1, "a deaf model answers everything alike"

    def test_padding_on_the_left_changes_nothing(self, adapter: Salmonn) -> None:
        texts = ("One word.", OFFICIAL_PROMPT.text, "What do you hear in the voice of the speaker, and why?")
        rows = [row_of(adapter, each, text) for each, text in zip(CLIPS, texts, strict=False)]
        together = answer(adapter, rows, SHORT)
        for n, row in enumerate(rows):
            (alone,) = answer(adapter, [row], SHORT)
            ended = [2] * (len(together[n]) - len(alone))
            assert together[n] == [*alone, *ended]
            batched, single = next_logits(adapter, rows)[n, -1], next_logits(adapter, [row])[0, -1]
            assert (batched - single).abs().max() < 1e-5

    def test_rows_end_by_themselves(self, adapters: dict[str, Salmonn]) -> None:
        clips = [clip(0.5 + 0.4 * n, seed=n) for n in range(8)]
        responses = adapters["other"].generate(list("abcdefgh"), clips, OFFICIAL_PROMPT, Decoding(max_new_tokens=10))
        assert {response.stop for response in responses} == {"end", "length"}
        assert len({len(response.text or "") for response in responses}) > 2
        assert not any("</s>" in (response.text or "") for response in responses)


class TestGeneration:
    def test_greedy_whatever_vicuna_says(self, adapter: Salmonn) -> None:
        import json

        import torch

        saved = json.loads((Path(adapter._processor.tokenizer.name_or_path) / "generation_config.json").read_text())
        assert saved["do_sample"], "the trap has to be set for this test to mean anything"
        by_hand: list[int] = []
        row = row_of(adapter, CLIPS[2])
        for _ in range(SHORT.max_new_tokens):
            logits = next_logits(adapter, [dataclasses.replace(row, after=[*row.after, *by_hand])])[0, -1].clone()
            if not by_hand:
                logits[2] = -torch.inf  # no answer is empty
            by_hand.append(int(logits.argmax()))
            if by_hand[-1] == 2:
                break
        expected = adapter._processor.tokenizer.decode(by_hand, skip_special_tokens=True)
        assert adapter.generate(["a"], [CLIPS[2]], OFFICIAL_PROMPT, SHORT)[0].text == expected

    def test_beams_find_likelier_answers(self, adapter: Salmonn, folders: dict[str, Path]) -> None:
        wide = tiny_salmonn.load(folders["official"], num_beams=4)
        three = Decoding(max_new_tokens=3)
        gains = []
        for each in CLIPS:
            row = row_of(adapter, each)
            scores = []
            for one in (adapter, wide):
                (found,) = answer(one, [row], three)
                logits = next_logits(adapter, [dataclasses.replace(row, after=[*row.after, *found])])[0]
                chances = logits.log_softmax(-1)[-len(found) - 1 : -1]
                scores.append(sum(float(chances[n, token]) for n, token in enumerate(found)) / len(found))
            gains.append(scores[1] - scores[0])
        assert min(gains) > -1e-5
        assert max(gains) > 0.001

    def test_sampling_is_asked_for_and_seeded(self, folders: dict[str, Path]) -> None:
        adapter = tiny_salmonn.load(folders["official"], num_beams=4)

        def texts(seed: int) -> list[str | None]:
            decoding = Decoding(max_new_tokens=16, temperature=1.5, seed=seed)
            return [response.text for response in adapter.generate(IDS, CLIPS, OFFICIAL_PROMPT, decoding)]

        assert texts(1) == texts(1)
        assert texts(1) != texts(2)
        assert adapter._generation_config(Decoding(temperature=1.5)).num_beams == 1

    def test_half_precision(self, folders: dict[str, Path], adapter: Salmonn) -> None:
        import torch

        half = tiny_salmonn.load(folders["official"], dtype="bfloat16")
        formats: dict[bool, set[Any]] = {True: set(), False: {weight.dtype for weight in half._ears.parameters()}}
        for name, weight in half._model.named_parameters():
            formats["lora_" in name].add(weight.dtype)
        assert formats == {True: {torch.float32}, False: {torch.bfloat16}}
        assert half._model.model.rotary_emb.inv_freq.dtype == torch.float32
        assert all(response.text for response in half.generate(IDS, CLIPS, OFFICIAL_PROMPT, SHORT))
        exact, rounded = (row_of(each, CLIPS[2]).audio for each in (adapter, half))
        assert (exact - rounded).abs().max() < 0.1 * exact.abs().max()

    def test_it_hears(self, adapter: Salmonn) -> None:
        logits = adapter.hear(CLIPS, OFFICIAL_PROMPT)
        assert logits.shape == (len(CLIPS), 99)
        for n, each in enumerate(CLIPS):
            assert np.abs(logits[n] - next_logits(adapter, [row_of(adapter, each)])[0, -1].numpy()).max() < 1e-5
        found = check_hearing(adapter, CLIPS, OFFICIAL_PROMPT)
        assert found is not None
        assert found.n_clips == len(CLIPS)

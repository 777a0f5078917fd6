"""The pool: nothing that models are tested on is in it, it is shuffled before it is cut, parts share no speaker."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import read_rows, write_rows

from serxbench.adapters import Loading
from serxbench.errors import CorpusError, UnknownName, UsageError
from serxbench.progress import Silent
from serxbench.sft.limits import Limits
from serxbench.sft.pool import build_pool, open_recipe
from serxbench.sft.recipe import Recipe, read_recipe
from serxbench.sft.samples import Pool, read_samples, write_samples
from serxbench.sft.targets import VARIANTS, Variant

WriteRecipe = Callable[..., Path]


def build(path: Path, base: Path, variants: tuple[Variant, ...] = VARIANTS, **settings: object) -> Pool:
    recipe = read_recipe(str(path), settings)
    limits = Limits("qwen2_audio", Loading(folder=base), recipe.settings)
    return build_pool(open_recipe(recipe, variants, lambda data: None), limits, Silent())


def speaker_of(pool: Pool, corpus: Path) -> dict[str, str]:
    speakers = {row["id"]: row["speaker"] for row in read_rows(corpus)}
    return {sample.id: speakers[sample.id.partition("/")[2]] for sample in pool.samples}


def test_every_training_item_is_a_sample_once(write_recipe: WriteRecipe, corpus: Path, tiny_checkpoint: Path) -> None:
    pool = build(write_recipe(), tiny_checkpoint)
    assert sorted(sample.id for sample in pool.samples) == [f"corpus/u{n:02}" for n in range(24)]
    assert pool.n_held_out == 4
    assert {sample.prompt for sample in pool.samples} == {"open", "closed"}
    assert pool.describe()["left_out"] == {"corpus": {}}
    sample = next(sample for sample in pool.samples if sample.id == "corpus/u05")
    assert (sample.emotion, sample.transcript, sample.rationale) == ("Sad", "Sentence 5, naïvely.", "The pitch is low.")


def test_parts_share_no_speaker(write_recipe: WriteRecipe, corpus: Path, tiny_checkpoint: Path) -> None:
    pool = build(write_recipe(), tiny_checkpoint)
    speakers = speaker_of(pool, corpus)
    parts = [{speakers[sample.id] for sample in pool.part(name)} for name in ("train", "validation")]  # type: ignore[arg-type]
    assert not parts[0] & parts[1]
    # A fifth of 24 is 4.8, and a speaker has four: two speakers.
    assert len(parts[1]) == 2


def test_it_is_shuffled_before_it_is_cut(write_recipe: WriteRecipe, tiny_checkpoint: Path) -> None:
    whole = [sample.id for sample in build(write_recipe(), tiny_checkpoint).samples]
    cut = [sample.id for sample in build(write_recipe(), tiny_checkpoint, max_samples=12).samples]
    assert cut == whole[:12] != sorted(whole)[:12]
    assert [s.id for s in build(write_recipe(), tiny_checkpoint, seed=1).samples] != whole


def test_the_same_pool_whatever_the_order_of_the_files(
    write_recipe: WriteRecipe, corpus: Path, tiny_checkpoint: Path
) -> None:
    before = build(write_recipe(), tiny_checkpoint)
    write_rows(corpus, read_rows(corpus)[::-1])
    assert build(write_recipe(), tiny_checkpoint).sha256() == before.sha256()


def test_the_sound_of_a_test_item_is_left_out_under_any_name(
    write_recipe: WriteRecipe, corpus: Path, tiny_checkpoint: Path
) -> None:
    clips = corpus.parent / "clips"
    shutil.copyfile(clips / "u25.wav", clips / "u03.wav")
    pool = build(write_recipe(), tiny_checkpoint)
    assert pool.left_out["corpus"] == {"held_out_audio": 1}
    assert "corpus/u03" not in {sample.id for sample in pool.samples}


def test_the_sound_of_another_sample_is_left_out(
    write_recipe: WriteRecipe, corpus: Path, tiny_checkpoint: Path
) -> None:
    clips = corpus.parent / "clips"
    shutil.copyfile(clips / "u04.wav", clips / "u03.wav")
    assert build(write_recipe(), tiny_checkpoint).left_out["corpus"] == {"same_audio": 1}


def test_a_test_split_is_refused(write_recipe: WriteRecipe, corpus: Path, tiny_checkpoint: Path) -> None:
    for data in (f"manifest:{corpus}#test", "demo:test", "demo:dev", "demo"):
        with pytest.raises(UsageError, match="is a split that models are tested on"):
            build(write_recipe(corpora=[{"data": data}]), tiny_checkpoint, ("without-reason",))


def test_test_items_of_a_whole_file_are_left_out(
    write_recipe: WriteRecipe, corpus: Path, rationales: Path, tiny_checkpoint: Path
) -> None:
    source = {"data": f"manifest:{corpus}"}
    pool = build(write_recipe(corpora=[source]), tiny_checkpoint, ("without-reason",))
    assert pool.left_out["corpus"] == {"held_out_id": 4}
    assert len(pool.samples) == 24
    pool = build(write_recipe(corpora=[{**source, "whole": True}]), tiny_checkpoint, ("without-reason",))
    assert len(pool.samples) == 28


def test_what_the_recipe_holds_out_is_left_out_by_id(
    write_recipe: WriteRecipe, corpus: Path, tiny_checkpoint: Path
) -> None:
    other = write_rows(corpus.parent / "other.jsonl", read_rows(corpus)[:3])
    pool = build(write_recipe(held_out=[f"manifest:{other}"]), tiny_checkpoint)
    assert pool.left_out["corpus"] == {"held_out_id": 3}


def test_two_sources_of_one_corpus_hold_its_test_items_out_once(
    write_recipe: WriteRecipe, corpus: Path, rationales: Path
) -> None:
    sources = [
        {"data": f"manifest:{corpus}#train", "rationales": str(rationales), "labels": labels}
        for labels in (["Angry", "Sad"], ["Happy", "Neutral"])
    ]
    opened = open_recipe(read_recipe(str(write_recipe(corpora=sources))), VARIANTS, lambda data: None)
    assert [len(part.utterances) for part in opened.held_out] == [4]


def test_reasons_for_leaving_out_are_counted(
    write_recipe: WriteRecipe, corpus: Path, rationales: Path, tiny_checkpoint: Path
) -> None:
    rows, reasons = read_rows(corpus), read_rows(rationales)
    rows[0]["consensus"] = "X"
    rows[1]["transcript"] = reasons[1]["transcript"] = "he said </asr> aloud"
    del rows[2]["transcript"]
    del rows[3]["audio"]
    (corpus.parent / "clips/u04.wav").write_bytes(b"no sound")
    reasons[5]["kept"] = False
    rows[7]["consensus"] = reasons[7]["emotion"] = "Fear"
    reasons[8]["rationale"] = "The pitch is low and the pace is slow. " * 60
    write_rows(corpus, rows)
    write_rows(rationales, [row for n, row in enumerate(reasons) if n != 6])
    source = {"data": f"manifest:{corpus}#train", "rationales": str(rationales)}
    source["labels"] = ["Angry", "Sad", "Happy", "Neutral"]  # type: ignore[assignment]
    pool = build(write_recipe(corpora=[source]), tiny_checkpoint)
    assert pool.left_out["corpus"] == {
        "no_class": 1,
        "tags_in_text": 1,
        "no_transcript": 1,
        "no_audio": 1,
        "unreadable": 1,
        "rationale_rejected": 1,
        "no_rationale": 1,
        "class_not_taken": 1,
        "too_many_tokens": 1,
    }
    assert len(pool.samples) == 24 - 9


def test_a_long_rationale_is_no_matter_without_reasons(
    write_recipe: WriteRecipe, rationales: Path, tiny_checkpoint: Path
) -> None:
    reasons = read_rows(rationales)
    reasons[8]["rationale"] = "The pitch is low and the pace is slow. " * 60
    write_rows(rationales, reasons)
    assert len(build(write_recipe(), tiny_checkpoint, ("without-reason",)).samples) == 24
    assert len(build(write_recipe(), tiny_checkpoint, VARIANTS).samples) == 23


def test_clips_that_the_model_does_not_hear_whole_are_left_out(
    write_recipe: WriteRecipe, tiny_checkpoint: Path
) -> None:
    # It hears 2 s, or 1.44 s at a speed of 0.72. The clips last 0.3 + 0.05 k s; of those to train on four (k = 24 … 27)
    # are longer.
    pool = build(write_recipe(), tiny_checkpoint, speeds=[1.0, 0.72])
    assert pool.left_out["corpus"] == {"too_long": 4}


@pytest.mark.parametrize(("key", "value"), [("emotion", "Fear"), ("transcript", "Sentence 2")])
def test_rationales_for_other_labels_or_words_are_refused(
    write_recipe: WriteRecipe, rationales: Path, tiny_checkpoint: Path, key: str, value: str
) -> None:
    rows = read_rows(rationales)
    rows[2][key] = value
    write_rows(rationales, rows)
    with pytest.raises(CorpusError, match=rf"'u02' was written for the {key} '{value}', and .* has "):
        build(write_recipe(), tiny_checkpoint)


def test_reasons_cannot_be_learnt_without_rationales(
    write_recipe: WriteRecipe, corpus: Path, tiny_checkpoint: Path
) -> None:
    path = write_recipe(corpora=[{"data": f"manifest:{corpus}#train"}])
    with pytest.raises(UsageError, match="names no rationales, which the variant with-reason is made of"):
        build(path, tiny_checkpoint)
    assert len(build(path, tiny_checkpoint, ("without-reason",)).samples) == 24


def test_one_speaker_cannot_be_divided(write_recipe: WriteRecipe, corpus: Path, tiny_checkpoint: Path) -> None:
    write_rows(corpus, [{**row, "speaker": "s"} for row in read_rows(corpus)])
    with pytest.raises(CorpusError, match="24 samples to train on and 0 of other speakers"):
        build(write_recipe(), tiny_checkpoint)


def test_an_unknown_prompt_is_refused(write_recipe: WriteRecipe, tiny_checkpoint: Path) -> None:
    with pytest.raises(UnknownName, match="no prompt 'opne'"):
        build(write_recipe(prompts=["opne"]), tiny_checkpoint)


def test_samples_are_read_back_as_written(write_recipe: WriteRecipe, tiny_checkpoint: Path) -> None:
    pool = build(write_recipe(), tiny_checkpoint)
    again = read_samples(write_samples(pool))
    assert again.samples == pool.samples
    assert again.describe() == json.loads(json.dumps(pool.describe()))


def test_the_hash_does_not_know_where_clips_lie(write_recipe: WriteRecipe, tiny_checkpoint: Path) -> None:
    pool = build(write_recipe(), tiny_checkpoint)
    moved = replace(pool, samples=tuple(replace(sample, audio="elsewhere") for sample in pool.samples))
    assert moved.sha256() == pool.sha256()
    assert isinstance(read_recipe(str(write_recipe())), Recipe)

"""Claims found in prose, and what ranks and chance say of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serxbench.rationales.claims import PROPERTIES, Claim, find_claims
from serxbench.rationales.grounding import chance, rank_clips, verdict
from serxbench.rationales.prose import read_prose


def claims(text: str, transcript: str = "") -> set[str]:
    found = find_claims(read_prose(text, transcript))
    return {f"{'not ' * claim.negated}{claim.property} {claim.direction}" for claim in found}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The pitch is low and the volume is high.", "pitch low, loudness high"),
        ("High volume, low pitch and a rapid speaking rate.", "loudness high, pitch low, rate high"),
        ("A soft, slightly higher voice.", "loudness low"),
        ("The pace slow, the voice moderate, the pitch high.", "rate low, loudness middle, pitch high"),
        ("Her voice trails off after long pauses.", "loudness_change low, pauses high"),
        ("He whispers, in a monotone.", "loudness low, pitch_range low"),
        ("The pitch is varied and the intonation rising.", "pitch_range high, pitch_end high"),
        ("The pace is not fast.", "not rate high"),
        ("There is no rise in pitch, and she does not shout.", "not loudness high"),
        ("Without long pauses, the speech is fast.", "not pauses high, pauses low, rate high"),
        ("The pitch hardly moves.", "pitch_range low"),
        ("Neither loud nor fast speech is heard.", "not rate high"),
        ("The high price and the fast car are mentioned.", ""),
        ("The speaker is high on life and low on money.", ""),
        ('She says "the volume is too high" in a quiet voice.', "loudness low"),
        ("The emotional intensity is high.", ""),
        ("The pitch is high, the emotion strong.", "pitch high"),
        ("The pitch rises and falls a lot.", "pitch_range high"),
        ("The pace quickens towards the end.", "rate_change high"),
        ("She speeds up, and her voice becomes louder.", "rate_change high, loudness_change high"),
        ("He slows down; the tempo does not accelerate.", "rate_change low, not rate_change high"),
        ("The speech is slow and gets slower.", "rate low, rate_change low"),
        ("A slowed pace.", ""),
    ],
)
def test_claims_in_prose(text: str, expected: str) -> None:
    wanted = {part for part in expected.split(", ") if part}
    found = claims(text, "The volume is too high.")
    assert found == wanted


@given(st.text(max_size=200))
def test_any_text_has_claims_or_none(text: str) -> None:
    found = find_claims(read_prose(text, ""))
    assert all(claim.property in PROPERTIES for claim in found)
    assert len({(claim.property, claim.direction) for claim in found}) == len(found)


def claim(property: str, direction: str, negated: bool = False) -> Claim:
    return Claim(property=property, direction=direction, words="", negated=negated)  # type: ignore[arg-type]


def test_ranks_are_within_the_speaker_where_it_has_enough_clips() -> None:
    measures = [{"pitch": float(n)} for n in range(10)] + [{"pitch": 100.0}, {}]
    ranks, among = rank_clips(measures, ["a"] * 10 + ["b", None])
    assert [known.get("pitch") for known in ranks[:10]] == [n / 9 for n in range(10)]
    assert (ranks[10]["pitch"], ranks[11]) == (1.0, {})
    assert among == ["speaker"] * 10 + ["corpus"] * 2


def test_ties_share_a_rank_and_one_value_has_none() -> None:
    ranks, _ = rank_clips(
        [{"rate": 1.0, "pitch": 2.0}, {"rate": 1.0, "pitch": 2.0}, {"rate": 3.0, "pitch": 2.0}], [None] * 3
    )
    assert ranks == [{"rate": 0.25}, {"rate": 0.25}, {"rate": 1.0}]


@pytest.mark.parametrize(
    ("direction", "rank", "expected"),
    [
        ("high", 0.6, "supported"), ("high", 0.59, "not_checkable"), ("high", 0.4, "contradicted"),
        ("low", 0.4, "supported"), ("low", 0.41, "not_checkable"), ("low", 0.6, "contradicted"),
        ("middle", 0.25, "supported"), ("middle", 0.2, "not_checkable"), ("middle", 0.9, "contradicted"),
    ],
)  # fmt: skip
def test_verdicts(direction: str, rank: float, expected: str) -> None:
    assert verdict(claim("pitch", direction), {"pitch": rank}) == expected
    assert verdict(claim("pitch", direction, negated=True), {"pitch": rank}) == "not_checkable"
    assert verdict(claim("pitch", direction), {"rate": rank}) == "not_checkable"


def explained(n: int, true: bool, seed: int) -> tuple[list[list[Claim]], list[dict[str, float]], list[str]]:
    """Clips with random ranks; each rationale says whether its clip is high or low, or says it of another."""
    random = np.random.default_rng(seed)
    ranks = [{"pitch": float(rank)} for rank in random.uniform(size=n)]
    source = ranks if true else [ranks[k] for k in random.permutation(n)]
    said = [[claim("pitch", "high" if known["pitch"] > 0.5 else "low")] for known in source]
    return said, ranks, [f"s{k % 5}" for k in range(n)]


def test_chance_is_a_half_and_truth_is_above_it() -> None:
    found = chance(*explained(200, True, 1), n_deals=300)
    assert found is not None
    assert found.rate == pytest.approx(0.5, abs=0.05)
    assert (found.p, found.n_moved) == (1 / 301, 200)


def test_claims_about_other_clips_are_at_chance() -> None:
    p_values = [found.p for seed in range(60) if (found := chance(*explained(60, False, seed), n_deals=99))]
    assert len(p_values) == 60
    assert sum(p <= 0.1 for p in p_values) / 60 < 0.25, "a test at 10 % rejects what is true 10 % of the time"
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.12)


def test_what_every_rationale_says_is_at_chance() -> None:
    _, ranks, groups = explained(100, True, 2)
    found = chance([[claim("pitch", "middle")]] * 100, ranks, groups, n_deals=50)
    assert found is not None
    assert found.p == 1.0


def test_nothing_to_check_has_no_chance() -> None:
    assert chance([[claim("pitch", "high", negated=True)]] * 3, [{"pitch": 0.5}] * 3, [None] * 3) is None

from hypothesis import given
from hypothesis import strategies as st

from serxbench.judging.texts import MASK, MAX_CHARACTERS, Dress, Labelled, cut, mask_label, strip_markup, undress

ALL = Dress(markup=True, label=True, length=True)

TEXTS = st.text(alphabet=st.sampled_from("ab sadSAD angry*_`#>-[](){}<>/\n\t.,\u200b\u00e9\u4e2d"), max_size=200)


def test_a_label_word_is_masked_in_every_form_of_it():
    text = "SAD, sadness; he is sadly downcast. The saddle is a crusade, un-sad."
    # "saddle" and "crusade" are other words; a hyphen ends one
    assert mask_label(text, "Sad", "sad") == (
        f"{MASK}, {MASK}; he is {MASK} {MASK}. The saddle is a crusade, un-{MASK}."
    )


def test_phrases_and_other_spellings_are_masked_whole():
    assert mask_label("Matter-of-fact and matter of  fact.", "Neutral", None) == f"{MASK} and {MASK}."
    assert mask_label("他很生气，声音很大", "Angry", None) == f"他很{MASK}，声音很大"


def test_other_classes_are_not_masked():
    assert mask_label("angry, not sad", "Sad", "sad") == f"angry, not {MASK}"


def test_a_word_outside_the_table_is_masked_where_the_system_used_it():
    assert mask_label("Wistful, wistfully so.", "Other", "wistful") == f"{MASK}, {MASK} so."
    assert mask_label("Nothing to hide", None, None) == "Nothing to hide"


def test_markup_goes_and_words_stay():
    text = "## Reasoning\n1. **Pitch**: *high*\n2. `tempo` ~~slow~~ fast\n> said <asr>hello</asr>\n---\n```json\nx\n```"
    assert strip_markup(text) == "Reasoning Pitch: high tempo slow fast said hello x"
    assert strip_markup("5 < 7 and a_b_c, 2 * 3 * 4") == "5 < 7 and a_b_c, 2 * 3 * 4"


def test_common_length_is_that_of_the_shorter_text_after_all_else():
    first, second = undress(
        (Labelled(text="**loud** and fast and high", label="Angry"), Labelled(text="loud now")), ALL
    )
    assert (first, second) == ("loud and", "loud now")


def test_an_endless_text_is_cut_and_invisible_characters_go():
    first, second = undress((Labelled(text="a\u200bb\x00\u202ec"), Labelled(text="x" * 10**5)), Dress())
    assert (first, len(second)) == ("abc", MAX_CHARACTERS)


@given(TEXTS, TEXTS)
def test_undressed_twice_is_undressed_once(one: str, other: str):
    dress = Dress(markup=True)
    once = undress((Labelled(text=one), Labelled(text=other)), dress)
    assert all(len(text) <= len(whole) for text, whole in zip(once, (one, other), strict=True))
    assert undress((Labelled(text=one), Labelled(text=other)), dress) == once


@given(TEXTS, TEXTS)
def test_equal_length_is_equal_but_for_a_word(one: str, other: str):
    first, second = undress((Labelled(text=one), Labelled(text=other)), ALL)
    shorter = min(len(text) for text in (first, second))
    assert max(len(first), len(second)) - shorter <= max(0.4 * max(len(first), len(second)), 1) + 1


@given(TEXTS, st.integers(0, 50))
def test_cut_is_a_beginning_that_fits(text: str, n: int):
    short = cut(text, n)
    assert len(short) <= n
    assert text.startswith(short)

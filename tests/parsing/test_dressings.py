"""Property tests: the same commitment in any carrier sentence, dressing, hedge and language is read the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serxbench.clustering import get_clusterer
from serxbench.emotions import EMOTIONS, options_of
from serxbench.parsing import get_parser
from serxbench.records import Parsed, Response

OPTIONS = options_of(EMOTIONS)

ADJECTIVES = {
    "angry": "Angry", "furious": "Angry", "irritated": "Angry", "frustrated": "Angry", "annoyed": "Angry",
    "sad": "Sad", "disappointed": "Sad", "hopeless": "Sad", "lonely": "Sad", "heartbroken": "Sad", "upset": "Sad",
    "happy": "Happy", "joyful": "Happy", "excited": "Happy", "amused": "Happy", "delighted": "Happy",
    "surprised": "Surprise", "shocked": "Surprise", "astonished": "Surprise",
    "fearful": "Fear", "anxious": "Fear", "worried": "Fear", "terrified": "Fear",
    "disgusted": "Disgust", "revolted": "Disgust", "contemptuous": "Contempt", "scornful": "Contempt",
    "neutral": "Neutral", "calm": "Neutral", "indifferent": "Neutral",
    "bored": "Other", "confused": "Other", "proud": "Other", "nostalgic": "Other", "curious": "Other",
}  # fmt: skip
NOUNS = {
    "anger": "Angry", "frustration": "Angry", "irritation": "Angry", "sadness": "Sad", "grief": "Sad", "despair": "Sad",
    "joy": "Happy", "happiness": "Happy", "excitement": "Happy", "astonishment": "Surprise", "surprise": "Surprise",
    "fear": "Fear", "anxiety": "Fear", "worry": "Fear", "disgust": "Disgust", "contempt": "Contempt",
    "scorn": "Contempt",
    "neutrality": "Neutral", "calmness": "Neutral", "boredom": "Other", "confusion": "Other", "pride": "Other",
}  # fmt: skip
OF_ADJECTIVES = [
    "{}", "The speaker sounds {}.", "I think the emotion is {}.", "The speaker is {}", "She seems {} to me.",
    "The tone of the voice is {}, with a low pitch.", "It sounds like the person is feeling {}.", "A {} voice.",
    "The voice comes across as {}.", "Emotion: {}", "It's a male voice in a {} mood.", "He is speaking in a {} tone.",
    "Based on the prosody, the speaker appears {}.", "The speaker's emotional state can be described as {}.",
    "The audio clip features a person who sounds {} while talking about the weather.",
]  # fmt: skip
OF_NOUNS = [
    "{}", "The emotion is {}.", "The audio expresses {}.", "I can hear {} in the voice.",
    "There is a sense of {} here.",
    "The speaker's voice conveys a feeling of {}, as the pitch varies.", "Emotion: {}", "This is an expression of {}.",
    "The speech reflects {}.", "The primary emotion is {}.", "The speaker's emotional state is {}.",
]  # fmt: skip
DRESSINGS = [
    "{}", "**{}**", '"{}"', "<answer>{}</answer>", "<answer> {}", "<think>It might be happy, or angry.</think>{}",
    "Is it a happy clip? Let me think.\n{}", "What emotion does the audio express? {}", "{}\n", "Answer: {}",
    "<asr> i am so happy </asr><answer> {} </answer><reason> The voice is sad and angry. </reason>",
    "The options are angry, sad, happy and neutral. {}", "There is no laughter. {}",
    'The speaker says "I hate you, happy fool". {}', "<|channel|>analysis<|message|>sad?<|channel|>final<|message|>{}",
    '{{"emotion": "{}"}}', '```json\n{{"reason": "sad voice", "answer": "{}"}}\n```', "assistant\n\n{}",
]  # fmt: skip
HEDGES = ["perhaps", "possibly", "probably", "maybe", "a little", "very", "somewhat", "quite", "slightly", "clearly"]
LETTER_DRESSINGS = [
    "{L}", "({L})", "{L}.", "{L})", "[{L}]", "{L}. {T}", "{L}) {T}", "({L}) {T}", "**{L}. {T}**", "{L}: {T}",
    "{L} - {T}",
    "Option {L}", "Option {L}: {T}", "The answer is {L}", "The answer is {L}.", "The answer is ({L}) {T}.",
    "Answer: {L}",
    "answer: ({l})", "The correct option is {L}.", "I would choose {L}.", "I choose option {L}, {T}.", "\\boxed{{{L}}}",
    '{{"answer": "{L}"}}', "<answer>{L}</answer>", "<answer>{L}. {T}</answer>", "Final answer: **{L}**",
    "I think the voice is low and slow. The answer is {L}.", "The best choice would be {L}) {T}, because of the pitch.",
    "{L}\n\nI listened to the pitch and the pace.", "{T}", "{T}.", "The emotion expressed is {L}. {T}.",
]  # fmt: skip
LANGUAGES = {
    "Die Emotion ist {}.": {"Wut": "Angry", "Trauer": "Sad", "Freude": "Happy", "Angst": "Fear", "Ekel": "Disgust"},
    "Der Sprecher klingt {}.": {"wütend": "Angry", "traurig": "Sad", "fröhlich": "Happy", "überrascht": "Surprise"},
    "L'émotion exprimée est {}.": {"la colère": "Angry", "la tristesse": "Sad", "la joie": "Happy", "la peur": "Fear"},
    "La emoción es {}.": {"enojo": "Angry", "tristeza": "Sad", "alegría": "Happy", "miedo": "Fear", "asco": "Disgust"},
    "A emoção é {}.": {"raiva": "Angry", "tristeza": "Sad", "alegria": "Happy", "medo": "Fear", "nojo": "Disgust"},
    "L'emozione è {}.": {"rabbia": "Angry", "tristezza": "Sad", "gioia": "Happy", "paura": "Fear"},
    "说话人的情绪是{}。": {"愤怒": "Angry", "悲伤": "Sad", "高兴": "Happy", "恐惧": "Fear", "中性": "Neutral"},
    "話者の感情は{}です。": {"怒り": "Angry", "悲しみ": "Sad", "喜び": "Happy", "恐怖": "Fear", "嫌悪": "Disgust"},
    "Эмоция: {}.": {"гнев": "Angry", "грусть": "Sad", "радость": "Happy", "страх": "Fear", "отвращение": "Disgust"},
    "Говорящий звучит {}.": {"сердито": "Angry", "грустно": "Sad", "радостно": "Happy", "нейтрально": "Neutral"},
    "De spreker klinkt {}.": {"boos": "Angry", "verdrietig": "Sad", "blij": "Happy", "angstig": "Fear"},
    "Emocja: {}": {"złość": "Angry", "smutek": "Sad", "radość": "Happy", "strach": "Fear", "pogarda": "Contempt"},
    "Konuşmacı {}.": {"kızgın": "Angry", "üzgün": "Sad", "mutlu": "Happy", "şaşkın": "Surprise", "sakin": "Neutral"},
    "Người nói có vẻ {}.": {"tức giận": "Angry", "buồn": "Sad", "vui": "Happy", "sợ hãi": "Fear"},
    "المتحدث {}": {"غاضب": "Angry", "حزين": "Sad", "سعيد": "Happy", "خائف": "Fear", "محايد": "Neutral"},
    "वक्ता {} है": {"गुस्से में": "Angry", "दुखी": "Sad", "खुश": "Happy", "हैरान": "Surprise", "शांत": "Neutral"},
    "화자의 감정은 {}입니다.": {"분노": "Angry", "슬픔": "Sad", "기쁨": "Happy", "두려움": "Fear", "혐오": "Disgust"},
}
DENIALS = [
    "The speaker is not {}.", "The speaker isn't {}.", "She does not sound {} at all.", "I don't think he is {}.",
    "Nothing suggests that the speaker is {}.", "The voice is never {}.",
    "If the speaker were {}, the pitch would rise.",
    "Is the speaker {}?", "I'd be {} to help.", "The sentence 'I am {}' is spoken.", "The listener might feel {}.",
]  # fmt: skip

WEIGHINGS = [
    "{w} (80%), {d} (20%)", "{d} 20%, {w} 80%", "80% {w}, 20% {d}", "{d}: 0.2\n{w}: 0.8", "- {d}: 15%\n- {w}: 85%",
    "| {d} | 0.1 |\n| {w} | 0.9 |", "- [ ] {d}\n- [x] {w}", "☐ {d} ☑ {w}", "{d}: no; {w}: yes",
    "{w}: present. {d}: absent.",
    "{d} → no, {w} → yes", "about 70 percent {w}, 30 percent {d}", "{d} ✗ {w} ✓", "{d} - 2/10, {w} - 8/10",
    '[{{"label": "{d}", "score": 0.1}}, {{"label": "{w}", "score": 0.9}}]', '{{"{d}": 0.3, "{w}": 0.7}}',
]  # fmt: skip
adjectives = st.sampled_from(sorted(ADJECTIVES))


def parsed(text: str, options: tuple[tuple[str, str], ...] | None = None) -> Parsed:
    return get_parser("rules").parse(Response(id="x", text=text, stop="end"), options)


def label(text: str, options: tuple[tuple[str, str], ...] | None = None) -> str:
    prediction = get_clusterer("table").cluster(parsed(text, options))
    return prediction.label or prediction.status


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_a_statement_means_the_same_in_every_dressing(data: st.DataObject) -> None:
    words, carriers = data.draw(st.sampled_from([(ADJECTIVES, OF_ADJECTIVES), (NOUNS, OF_NOUNS)]))
    word = data.draw(st.sampled_from(sorted(words)))
    text = data.draw(st.sampled_from(DRESSINGS)).format(data.draw(st.sampled_from(carriers)).format(word))
    assert label(text) == words[word], text
    assert label(text, OPTIONS) == words[word], text


@settings(max_examples=300, deadline=None)
@given(word=adjectives, hedge=st.sampled_from(HEDGES), carrier=st.sampled_from(OF_ADJECTIVES))
def test_a_hedged_answer_is_an_answer(word: str, hedge: str, carrier: str) -> None:
    assert label(carrier.format(f"{hedge} {word}")) == ADJECTIVES[word]


@settings(max_examples=300, deadline=None)
@given(word=adjectives, denial=st.sampled_from(DENIALS), options=st.sampled_from([None, OPTIONS]))
def test_what_is_denied_supposed_or_asked_is_no_answer(
    word: str, denial: str, options: tuple[tuple[str, str], ...] | None
) -> None:
    assert parsed(denial.format(word), options).status in ("off_format", "refused")


@settings(max_examples=300, deadline=None)
@given(
    word=adjectives,
    denied=adjectives,
    frame=st.sampled_from(
        [
            "The speaker is not {d} but {w}.",
            "Not {d}, just {w}.",
            "The speaker sounds {w} rather than {d}.",
            "Instead of {d}, the speaker sounds {w}.",
            "The speaker isn't {d}. They sound {w}.",
            "More {w} than {d}.",
            "He sounds {d} but is actually {w}.",
            "Although the words are {d}, the tone is {w}.",
            "The words sound {d}. Overall, the speaker is {w}.",
            "It may be {d}. Therefore, the emotion is {w}.",
            "The speaker is mainly {w}, with some {d} moments.",
            "If she were {d}, she would shout. She is {w}.",
            "Emotion: {w}\nReason: the voice is not {d}.",
            "The speaker is {w} and {d}.",
            "Is he {d}? No, he is {w}.",
        ]
    ),
)
def test_the_right_one_of_two(word: str, denied: str, frame: str) -> None:
    assert label(frame.format(w=word, d=denied)) == ADJECTIVES[word]


@settings(max_examples=300, deadline=None)
@given(word=adjectives, other=adjectives, weighing=st.sampled_from(WEIGHINGS), options=st.sampled_from([None, OPTIONS]))
def test_the_weightiest_of_two(
    word: str, other: str, weighing: str, options: tuple[tuple[str, str], ...] | None
) -> None:
    assert label(weighing.format(w=word, d=other), options) == ADJECTIVES[word]


@settings(max_examples=500, deadline=None)
@given(option=st.sampled_from(OPTIONS), dressing=st.sampled_from(LETTER_DRESSINGS), echoed=st.booleans())
def test_an_option_in_every_dressing(option: tuple[str, str], dressing: str, echoed: bool) -> None:
    letter, text = option
    answer = dressing.format(L=letter, l=letter.lower(), T=text)
    if echoed:
        answer = "\n".join(f"{a}. {b}" for a, b in OPTIONS) + "\n\n" + answer
    assert label(answer, OPTIONS) == text, answer


@settings(max_examples=100, deadline=None)
@given(first=st.sampled_from(OPTIONS[:-1]), second=st.sampled_from(OPTIONS[:-1]))
def test_a_letter_and_a_text_that_contradict_each_other(first: tuple[str, str], second: tuple[str, str]) -> None:
    result = parsed(f"{first[0]}. {second[1]}", OPTIONS)
    if first == second:
        assert result.word == first[1].lower()
    else:
        assert (result.status, result.route) == ("off_format", "contradiction")


@pytest.mark.parametrize(
    ("carrier", "word", "expected"),
    [(carrier, word, label) for carrier, words in LANGUAGES.items() for word, label in words.items()],
)
def test_other_languages(carrier: str, word: str, expected: str) -> None:
    assert label(carrier.format(word)) == expected
    assert label(carrier.format(word), OPTIONS) == expected


PIECES = st.sampled_from(
    [
        *("sad", "not", "angry", "but", "if", "Either", "or", "I'm", "不是", "悲伤", "İ", "ß"),
        *(
            "{",
            "}",
            '"emotion":',
            "```json",
            "<think>",
            "</think>",
            "<answer>",
            "</asr>",
            "<|channel|>final<|message|>",
        ),
        *("B.", "(", "\n", "\\boxed{", "“", "'", "?"),
    ]
)


@settings(max_examples=400, deadline=None)
@given(
    text=st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=25).map(" ".join)),
    stop=st.sampled_from(["end", "length"]),
    options=st.sampled_from([None, OPTIONS]),
)
def test_any_text_gives_one_consistent_record(text: str, stop, options) -> None:  # type: ignore[no-untyped-def]
    result = get_parser("rules").parse(Response(id="x", text=text, stop=stop), options)
    assert result.id == "x"
    assert (result.word is not None) == (result.status == "ok")
    assert result.error is None
    assert result == get_parser("rules").parse(Response(id="x", text=text, stop=stop), options)
    get_clusterer("table").cluster(result)

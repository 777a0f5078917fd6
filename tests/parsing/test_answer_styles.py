"""Hand-written answers in the manner of many models (verbose, chatty, templated), read by hand as in "
"test_nasty_answers."""

from __future__ import annotations

import pytest

from serxbench.clustering import get_clusterer
from serxbench.emotions import EMOTIONS, options_of
from serxbench.parsing import get_parser
from serxbench.records import Response

OPTIONS = options_of(EMOTIONS)

OPEN = [
    ("The speaker appears to be in a good mood, possibly happy or content.", "Happy"),
    (
        "Based on the audio, the emotion expressed appears to be a mix of sadness and anger, with "
        "sadness being more prominent.",
        "Sad",
    ),
    (
        "The person in the audio sounds like a young woman in her 20s. She is speaking in English with a "
        "neutral mood, saying 'I am so sad about it'.",
        "Neutral",
    ),
    ("It's a male voice, aged 25-35, speaking in English with a sad mood.", "Sad"),
    ("The mood of the speaker is happy.", "Happy"),
    ('The audio is in a happy mood, and the speaker says "that\'s great".', "Happy"),
    ("angry, disgusted", "Angry"),
    ("The emotion is anger/frustration.", "Angry"),
    ("Emotion: Neutral (the speaker does not sound happy, sad, or angry)", "Neutral"),
    ("The speaker's tone is enthusiastic and energetic, which suggests happiness rather than anger.", "Happy"),
    ("The speaker's voice is raised and trembling. This is consistent with fear.", "Fear"),
    ("I would say the speaker feels disappointed, though not angry.", "Sad"),
    ("The emotion seems to be one of frustration. The speaker's words 'I am fine' contrast with the tone.", "Angry"),
    (
        "Well, I think the audio expresses a sense of sadness. You know, the speaker's tone is really "
        "low and slow. What do you think about this?",
        "Sad",
    ),
    ("Well, it sounds kind of neutral to me. But if you have other thoughts, feel free to share.", "Neutral"),
    ("Hmm... it's kinda hard to say just from that. But it could be a bit of confusion or maybe curiosity.", "Other"),
    ("I think it might be a sense of nostalgia or maybe a bit of sadness.", "Other"),
    ("The audio expresses an emotion of surprise.", "Surprise"),
    ("The speaker sounds happy. There's no anger or sadness.", "Happy"),
    ("The emotion conveyed in the audio is one of pride and joy", "Other"),
    ("Contemptuous", "Contempt"),
    (
        "The speaker is expressing a neutral emotion, as there is no indication of happiness or sadness in their tone.",
        "Neutral",
    ),
    ("speaker is mad at his friend", "Angry"),
    ("The speaker feels hurt.", "Sad"),
    ("The voice sounds like someone who is crying.", "Sad"),
    ("The speaker is laughing.", "Happy"),
    ("The speaker sounds sad, tired and hopeless.", "Sad"),
    ("I'd describe it as calm, maybe slightly bored.", "Neutral"),
    ("The speaker sounds bored.", "Other"),
    ("It expresses love.", "Other"),
    ("This is spoken with a sneer, contemptuous.", "Contempt"),
    ("The audio expresses the emotion of being upset or frustrated.", "Sad"),
    ("Emotion: Anger\nConfidence: High\nReasoning: The speaker's loud voice and harsh words; not sadness.", "Angry"),
    ("The primary emotion expressed is **sadness**, with secondary notes of **resignation**.", "Sad"),
    ("### Final Answer\n**Fear**", "Fear"),
    ("Answer: **Disgust**", "Disgust"),
    ("Final Emotion → Surprise", "Surprise"),
    ("**Emotion:** Happy 😊", "Happy"),
    ("🙂 Happy!", "Happy"),
    ("The speaker might be annoyed, but could also be sad.", "Angry"),
    ("It isn't clear, perhaps sad?", "Sad"),
    ("No emotion is expressed.", "off_format"),
    ("The voice is emotionless.", "Neutral"),
    ("There isn't any strong emotion; it sounds neutral.", "Neutral"),
    ("The speaker doesn't seem to be expressing any particular emotion; neutral.", "Neutral"),
    ("Neutral, not happy or sad.", "Neutral"),
    ("not sad", "off_format"),
    ("He is unhappy.", "Sad"),
    ("She is far from happy.", "off_format"),
    ("He was not amused.", "off_format"),
    ("The audio doesn't express sadness, but happiness.", "Happy"),
    ("The audio expresses not sadness, but happiness.", "Happy"),
    ("I wouldn't say she is angry - more disappointed.", "Sad"),
    ("You can hear the anger in his voice.", "Angry"),
    ("The voice expresses fear. Fear is often accompanied by sadness and anger.", "Fear"),
    ("The speaker is amused by the angry customer.", "Happy"),
    ("It sounds like the speaker is trying to sound happy but is in fact quite sad.", "Sad"),
    ("Il parlante sembra felice.", "Happy"),
    ("Le ton est neutre.", "Neutral"),
    ("El tono es de tristeza.", "Sad"),
    ("Der Sprecher ist verärgert.", "Angry"),
    ("这段音频表达的情感是愤怒。", "Angry"),
    ("说话者的语气并不悲伤，听起来很高兴。", "Happy"),
    ("中性", "Neutral"),
    ("我认为是惊讶。", "Surprise"),
    ("说话人很不高兴", "Sad"),
    ("感情は怒りです", "Angry"),
    ("この音声は喜びを表しています。", "Happy"),
    ("화난 목소리입니다.", "Angry"),
    ("행복", "Happy"),
    ("抱歉，我无法判断情感。", "refused"),
    ("The man in the clip is furious with his wife, who is sad.", "Angry"),
    ("The woman's sad mother is angry, but the woman herself is calm.", "Neutral"),
    ("They're excited about the news.", "Happy"),
    ("She is worried about her sad friend.", "Fear"),
    ("The speaker feels nothing but contempt.", "Contempt"),
    ("speaker's state: stressed, anxious", "Fear"),
    ("The speaker is thrilled!", "Happy"),
    ("The speaker conveys a serious and concerned tone.", "Neutral"),
    ("<asr>I'm happy</asr>\n<emotion>angry</emotion>", "Angry"),
    ("The speaker said: I am happy to be here, in a cheerful voice.", "Happy"),
    ("I'm so happy to see you!", "off_format"),
    ("You're welcome! Have a happy day!", "off_format"),
    ("The emotion is fearful\n", "Fear"),
    ("Hap", "Happy"),
    ("The speaker is surprised, almost shocked.", "Surprise"),
    ("The speaker isn't just angry, he's furious.", "Angry"),
    ("In this audio the speaker expresses a sense of urgency and concern.", "Other"),
    ("sadness (70%), anger (30%)", "Sad"),
    ("The speaker conveys sarcasm", "Contempt"),
    ("The speaker's sarcastic remark reveals contempt.", "Contempt"),
    ("I do detect sadness.", "Sad"),
    ("Can't say for certain. Maybe fear.", "Fear"),
    ("The speech lacks emotion.", "off_format"),
    ("Sounds like fear to me :(", "Fear"),
    ("I don't hear anger. I don't hear joy. I hear resignation.", "Sad"),
    ("anger? no. sadness.", "Sad"),
    ("The speaker is more than happy.", "Happy"),
    ("The speaker is less happy than sad", "Sad"),
]
CLOSED = [
    ("B. Sad. The speaker's voice is low.", "Sad"),
    ("The correct answer is: C. Happy", "Happy"),
    ("The emotion expressed in the audio is A. Angry.", "Angry"),
    ("I think the emotion is H. Neutral", "Neutral"),
    ("I believe it's D.", "Surprise"),
    ("I'd say E", "Fear"),
    ("The audio expresses F) Disgust, not A) Angry.", "Disgust"),
    ("H", "Neutral"),
    ("Answer: H", "Neutral"),
    ("answer is h", "Neutral"),
    ('{"choice":"H. Neutral"}', "Neutral"),
    (
        "Of the options, A. Angry, B. Sad, C. Happy, D. Surprise, E. Fear, F. Disgust, G. Contempt, H. "
        "Neutral, I. Other, I choose H.",
        "Neutral",
    ),
    ("I can rule out A. Angry and B. Sad. That leaves C. Happy.", "Happy"),
    ("A) The speaker is angry.", "Angry"),
    (
        "A. Angry: the voice is not loud, so no.\nB. Sad: the voice is low and slow, so yes.\nThe answer is B. Sad.",
        "Sad",
    ),
    ("The voice is low. Among the options, sad fits best.", "Sad"),
    ("Based on the tone, I would classify it as (C) Happy.", "Happy"),
    ("I choose B", "Sad"),
    ("I pick (B) because it sounds sad", "Sad"),
    ("**Answer:** B", "Sad"),
    ("Answer:\nB", "Sad"),
    ("Final answer: \n\n**G. Contempt**", "Contempt"),
    ("B, Sad", "Sad"),
    ("B sad", "Sad"),
    ("b. sad", "Sad"),
    ("b", "Sad"),
    ("I. Other (curiosity)", "Other"),
    ("The emotion is curiosity, so I. Other.", "Other"),
    ("Other: The speaker is curious", "Other"),
    ("None of the above.", "off_format"),
    ("The speaker sounds sad. So the answer is C.", "Happy"),
    ("<think>\nok\n</think>\n\n<answer>B</answer>", "Sad"),
]


def outcome(text: str, options: tuple[tuple[str, str], ...] | None) -> str:
    parsed = get_parser("rules").parse(Response(id="1", text=text, stop="end"), options)
    prediction = get_clusterer("table").cluster(parsed)
    return prediction.label or prediction.status


@pytest.mark.parametrize(("text", "expected"), OPEN)
def test_open(text: str, expected: str) -> None:
    assert outcome(text, None) == expected


@pytest.mark.parametrize(("text", "expected"), CLOSED)
def test_closed(text: str, expected: str) -> None:
    assert outcome(text, OPTIONS) == expected

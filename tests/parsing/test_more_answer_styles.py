"""Short and reasoned answers in further manners of speaking, read by hand like those of test_nasty_answers."""

from __future__ import annotations

import pytest
from reading import OPTIONS, outcome

OPEN = [
    ("The speaker is a woman and she sounds quite stressed out about the deadline.", "Fear"),
    ("This person is clearly having a great time; I'd call it joy.", "Happy"),
    ("In my opinion the speaker feels betrayed and angry.", "Other"),
    ("The person is speaking in a mocking manner.", "Contempt"),
    ("The tone is one of disbelief.", "Surprise"),
    ("He's being sarcastic and dismissive toward his colleague.", "Contempt"),
    ("The speaker is apologizing and sounds remorseful.", "Other"),
    ("There's a palpable sense of dread.", "Fear"),
    ("The voice trembles with fear as she calls for help.", "Fear"),
    ("The delivery is flat and unemotional.", "Neutral"),
    ("The audio contains background music with a sad melody, while the speaker sounds neutral.", "Neutral"),
    ("The child is giggling, so the emotion is happiness.", "Happy"),
    ("The emotion might be interpreted as surprise or shock.", "Surprise"),
    ("Emotion detected: anger", "Angry"),
    ("Detected emotion is fear.", "Fear"),
    ("Predicted Emotion: Sadness", "Sad"),
    ("The sentiment is negative, most likely anger.", "Angry"),
    ("The sentiment is negative.", "off_format"),
    ("positive", "off_format"),
    ("The speaker conveys a positive emotion such as happiness.", "Happy"),
    ("A strong negative emotion like anger or disgust is present.", "Angry"),
    ("It sounds negative, perhaps sad or depressed.", "Sad"),
    ("She's grumpy.", "Angry"),
    ("Quite cheerful!", "Happy"),
    ("Relief", "Other"),
    ("Determination", "Other"),
    ("serious", "Neutral"),
    ("It has a serious, formal tone.", "Neutral"),
    ("The speaker is asking a question in a curious tone.", "Other"),
    ("The speaker is expressing gratitude.", "Other"),
    ("The speaker is expressing surprise at how sad the story is.", "Surprise"),
    ("The speaker is upset about being ignored.", "Sad"),
    ("**Words:** neutral content.\n**Voice:** calm, steady.\n**Verdict:** neutral", "Neutral"),
    ("The words are about joy, the voice however is dull; I decide on sadness.", "Sad"),
    ("The voice is loud but not angry; the laughter shows happiness. My answer is happiness.", "Happy"),
    ("Both the words and the voice suggest that the speaker is disgusted by the food.", "Disgust"),
    ("The voice suggests anger, the words suggest sadness. The voice weighs more, so anger.", "Angry"),
    ("Happiness can be excluded, and so can fear. What remains is contempt.", "Contempt"),
    ("Anger is out of the question. It's fear.", "Fear"),
    ("He claims to be happy, but his voice conveys sadness.", "Sad"),
    ("He says he is fine, but he sounds sad.", "Sad"),
    ("The speaker says they are not angry, but the voice says otherwise: anger.", "Angry"),
    ("The voice is soft, sad even.", "Sad"),
    ("I sense some contempt here.", "Contempt"),
    ("My guess: disgust", "Disgust"),
    ("Best guess? Fear.", "Fear"),
    ("Definitely anger!", "Angry"),
    ("Could be happiness.", "Happy"),
    ("Hmm, sad I think.", "Sad"),
    ("It's giving sad.", "Sad"),
    ("Sounds pretty upset tbh", "Sad"),
    ("lol he's so mad", "Angry"),
    ("I feel like the speaker is happy.", "Happy"),
    ("I am confident that the speaker is sad.", "Sad"),
    ("I'm fairly sure this is fear.", "Fear"),
    ("I'm surprised by how angry the speaker is.", "Angry"),
    ("We hear an angry man.", "Angry"),
    ("To me it's neither: just neutral.", "Neutral"),
    ("The emotion is not clear, but I'd say it leans sad.", "Sad"),
    ("There's no strong emotion. Neutral.", "Neutral"),
    ("The emotion of the speaker: Fear. The transcript: 'I am not afraid'.", "Fear"),
]
CLOSED = [
    ("The speaker's emotion is C, happy.", "Happy"),
    ("My choice is D.", "Surprise"),
    ("I would pick letter G.", "Contempt"),
    ("**Final choice: F. Disgust**", "Disgust"),
    ("C. Happy is the best choice.", "Happy"),
    ("C is the correct answer.", "Happy"),
    ("Considering the choices: A. Angry - no. B. Sad - no. C. Happy - no. H. Neutral - yes.", "Neutral"),
    ("I decide on option E.", "Fear"),
    ("Decision: E", "Fear"),
    ("The one option I decide on is **B. Sad**.", "Sad"),
    ("Decision: **B**", "Sad"),
    ("Thus I decide on H. Neutral", "Neutral"),
    ("Answer: I", "Other"),
    ("I. Other, because the speaker is bored", "Other"),
    ("The emotion is boredom. Option I.", "Other"),
    ("A. Angry. I think the speaker is angry.", "Angry"),
    ("I think it's an angry voice, so A.", "Angry"),
    ("A or B", "off_format"),
    ("Angry or Sad", "Angry"),
    ("angry", "Angry"),
]


@pytest.mark.parametrize(("text", "expected"), OPEN)
def test_open(text: str, expected: str) -> None:
    assert outcome(text, None) == expected


@pytest.mark.parametrize(("text", "expected"), CLOSED)
def test_closed(text: str, expected: str) -> None:
    assert outcome(text, OPTIONS) == expected

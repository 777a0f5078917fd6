"""Hand-worked answers that have fooled parsers: what each one commits to, decided by reading it."""

from __future__ import annotations

import pytest

from serxbench.clustering import get_clusterer
from serxbench.emotions import EMOTIONS, options_of
from serxbench.parsing import get_parser
from serxbench.records import Response

OPTIONS = options_of(EMOTIONS)

# Answer to the open question → class, or the status where it commits to none.
OPEN = [
    # one word, dressed
    ("Sad", "Sad"),
    ("**Happy**", "Happy"),
    ('"Angry."', "Angry"),
    ("Very sad!", "Sad"),
    ("Fearful tone", "Fear"),
    ("matter-of-fact", "Neutral"),
    ("Sad?", "Sad"),
    ("Calm", "Neutral"),
    ("Upset.", "Sad"),
    ("- Disgusted", "Disgust"),
    ("Emotion: sarcastic", "Contempt"),
    ("Label: neu", "Neutral"),
    # plain statements, inflections
    ("I think the emotion is sad.", "Sad"),
    ("The speaker sounds irritated.", "Angry"),
    ("There is a clear sense of sadness in her voice.", "Sad"),
    ("He speaks angrily.", "Angry"),
    ("It sounds like you're feeling frustrated.", "Angry"),
    ("The audio expresses joyfulness.", "Happy"),
    ("I hear irritation.", "Angry"),
    ("The speaker is saddened by the loss.", "Sad"),
    ("I feel sadness in her voice.", "Sad"),
    ("The speaker sounds like an angry customer.", "Angry"),
    ("The emotion expressed in this audio clip is best described as contempt.", "Contempt"),
    ("An angry, loud voice.", "Angry"),
    ("Sadness, because the pitch is low.", "Sad"),
    ("The speaker's anger is evident in the raised volume.", "Angry"),
    # hedges
    ("It might be anger.", "Angry"),
    ("Perhaps the speaker is a little sad.", "Sad"),
    ("If I had to guess, I'd say surprised.", "Surprise"),
    ("I'm not sure, but it sounds happy.", "Happy"),
    ("It's hard to tell, but the voice seems fearful.", "Fear"),
    ("I can't be certain, but probably disgust.", "Disgust"),
    ("It sounds as if they are sad.", "Sad"),
    # negation
    ("The speaker is not angry.", "off_format"),
    ("The speaker isn't sad or angry.", "off_format"),
    ("There is no sign of anger, fear or sadness; the tone is neutral.", "Neutral"),
    ("Not angry, just sad.", "Sad"),
    ("It is not anger but sadness.", "Sad"),
    ("She sounds happy rather than surprised.", "Happy"),
    ("Rather than happy, she sounds surprised.", "Surprise"),
    ("Instead of anger, the voice shows disgust.", "Disgust"),
    ("I don't think the speaker is happy; they seem nervous.", "Fear"),
    ("Without any trace of joy, the speaker sounds sad.", "Sad"),
    ("There is no doubt that the speaker is angry.", "Angry"),
    ("Not only angry but also disgusted.", "Angry"),
    ("Anger can be ruled out. The speaker sounds disappointed.", "Sad"),
    ("The tone is neither happy nor sad, but neutral.", "Neutral"),
    ("The voice lacks any joy; it is flat.", "Neutral"),
    ("Happiness is not present here; sadness is.", "Sad"),
    ("More sad than angry.", "Sad"),
    ("The lack of energy suggests sadness.", "Sad"),
    ("She doesn't sound happy, she sounds furious.", "Angry"),
    ("The speaker is anything but calm; he is furious.", "Angry"),
    ("No emotion other than sadness comes through.", "Sad"),
    # contrast, concession
    ("He sounds happy but is actually sad.", "Sad"),
    ("Although the words are happy, the tone is sad.", "Sad"),
    ("Despite the cheerful words, the speaker is angry.", "Angry"),
    ("While she tries to sound calm, her voice is fearful.", "Fear"),
    ("On the surface he is cheerful, but the voice conveys contempt.", "Contempt"),
    # main and secondary
    ("Mainly sad with some anger.", "Sad"),
    ("Angry and frustrated.", "Angry"),
    ("A hint of anger, but predominantly sadness.", "Sad"),
    ("There is some surprise, but the dominant emotion is fear.", "Fear"),
    ("Primary emotion: Fear\nSecondary emotion: Surprise", "Fear"),
    ("The speaker is neutral with a slightly happy undertone.", "Neutral"),
    ("Sadness is the main emotion, mixed with anger.", "Sad"),
    ("With a touch of sadness, the speaker is angry.", "Angry"),
    ("The speaker sounds surprised and possibly frustrated.", "Surprise"),
    ("The speaker is sad, as they express their anger about the loss.", "Sad"),
    # undecided
    ("Either angry or sad.", "off_format"),
    ("It is hard to tell whether the speaker is angry or sad.", "off_format"),
    ("It's either anger or sadness, but I lean towards anger.", "Angry"),
    ("Either annoyed or angry.", "Angry"),
    # lists of options, hypotheticals, questions
    ("The options are angry, sad, happy, and neutral.", "off_format"),
    ("From the options angry, sad, happy and neutral, I choose sad.", "Sad"),
    ("Is the speaker angry?", "off_format"),
    ("If the speaker were angry, the pitch would be higher.", "off_format"),
    ("If the speaker were angry, the pitch would be higher. It is flat, so the speaker is sad.", "Sad"),
    ("What emotion does the voice express? Happiness.", "Happy"),
    ("One would expect anger here, yet the voice is calm.", "Neutral"),
    # somebody else's, quoted, the listener's
    ("The phrase 'I'm so happy' does not tell how she feels.", "off_format"),
    ('He says "I am so angry", but he sounds amused.', "Happy"),
    ("The sentence “I hate this” is spoken in a neutral tone.", "Neutral"),
    ('The emotion is "sad".', "Sad"),
    ("The speaker says her boss was angry; she herself sounds afraid.", "Fear"),
    ("It makes me feel sad, but the speaker is neutral.", "Neutral"),
    ("I'd be happy to help! Please upload the audio.", "refused"),
    ("The speaker is talking about a happy event, but sounds sad.", "Sad"),
    ("The speaker wishes someone a happy birthday in a neutral voice.", "Neutral"),
    ("The listener may feel sad; the speaker sounds angry.", "Angry"),
    # conclusions and chains of thought
    ("The pitch rises, which may suggest surprise. The words show anger. Therefore, the emotion is anger.", "Angry"),
    ("Step 1: the words are sad.\nStep 2: the voice is lively.\nOverall, the speaker is happy.", "Happy"),
    ("The tone is calm at first. In conclusion, I believe the speaker is worried.", "Fear"),
    ("It could be sadness. Final answer: Disgust", "Disgust"),
    ("Transcript: he left me.\nTone: calm\nEmotion: sad", "Sad"),
    ("The raised volume might indicate excitement, but given the harsh words, the best fit is anger.", "Angry"),
    ("Sad\n\nThe speaker's voice is calm, slow and low.", "Sad"),
    # ordinary words
    ("It is a cold and blue day outside.", "off_format"),
    ("The content of the speech is about a serious accident.", "off_format"),
    ("Based on the content, the speaker is excited.", "Happy"),
    ("The speaker is content.", "Happy"),
    ("He sounds mad.", "Angry"),
    ("He goes down the road like a mad man.", "off_format"),
    ("The speaker shows interest in the topic.", "Other"),
    ("The low pitch and flat intonation suggest sadness.", "Sad"),
    ("The speaker sounds calm and serious.", "Neutral"),
    ("The speaker speaks in a serious tone about the weather.", "Neutral"),
    # refusals and the like
    ("I'm sorry, I can't determine the emotion from audio.", "refused"),
    ("As an AI language model, I cannot listen to audio.", "refused"),
    ("I cannot tell whether the speaker is angry or sad.", "refused"),
    ("I'm sorry, but I can't identify emotions such as happiness, sadness, or anger.", "refused"),
    ("Hello, how are you today?", "off_format"),
    ("The recording is 3 seconds long.", "off_format"),
    ("Sorry for the short clip: the speaker sounds sad.", "Sad"),
    # tags, reasoning, boxes
    ("<asr> I won! </asr><answer> I think the emotion is happy </answer><reason> sad violins </reason>", "Happy"),
    ("<think>Could be angry. Or sad.</think>Happy", "Happy"),
    ("Could be angry.</think>\n\nHappy", "Happy"),
    ("<think>The speaker is angry and", "off_format"),
    ("<answer>Sad", "Sad"),
    ("<answer>unclear</answer> <reason>maybe angry</reason>", "off_format"),
    ("<|channel|>analysis<|message|>angry?<|end|><|start|>assistant<|channel|>final<|message|>Sad<|return|>", "Sad"),
    ("So the final answer is \\boxed{\\text{Fear}}.", "Fear"),
    ("<emotion>Disgust</emotion>", "Disgust"),
    ("<|en|><|HAPPY|><|Speech|><|woitn|>see you tomorrow", "Happy"),
    # JSON
    ('{"emotion": "sad"}', "Sad"),
    ('```json\n{"answer": "I think the emotion is fear", "confidence": 0.7}\n```', "Fear"),
    ('{"emotion": "angry"} Correction: {"emotion": "sad"}', "Sad"),
    ("{'label': 'disgust'}", "Disgust"),
    ('{"emotion": null}', "off_format"),
    ('{"transcript": "I am so happy", "emotion": "anger"}', "Angry"),
    ('{"angry": 0.1, "sad": 0.7, "happy": 0.2}', "Sad"),
    ('{"result": {"primary_emotion": "Joy", "reason": "not sad"}}', "Happy"),
    # languages
    ("说话人听起来很悲伤。", "Sad"),
    ("说话人不是生气，而是悲伤。", "Sad"),
    ("情绪：高兴", "Happy"),
    ("没有愤怒的迹象，语气平静。", "Neutral"),
    ("Die Emotion ist Wut.", "Angry"),
    ("Der Sprecher klingt nicht wütend, sondern traurig.", "Sad"),
    ("L'émotion exprimée est la tristesse.", "Sad"),
    ("Le locuteur n'est pas triste, il est en colère.", "Angry"),
    ("La emoción es alegría.", "Happy"),
    ("El hablante no suena triste, sino enojado.", "Angry"),
    ("A emoção no áudio é tristeza.", "Sad"),
    ("L'emozione è la paura.", "Fear"),
    ("Non è arrabbiato, è triste.", "Sad"),
    ("話者は悲しそうです。", "Sad"),
    ("怒りではなく、悲しみです。", "Sad"),
    ("화자의 감정은 분노입니다.", "Angry"),
    ("슬픔이 아니라 분노입니다.", "Angry"),
]

# Answer to the closed question (A. Angry ... I. Other) → class, or the status.
CLOSED = [
    ("B", "Sad"),
    ("(b)", "Sad"),
    ("B.", "Sad"),
    ("B) Sad", "Sad"),
    ("B. Sad", "Sad"),
    ("**B. Sad**", "Sad"),
    ("B: Sad", "Sad"),
    ("Option B", "Sad"),
    ("option b.", "Sad"),
    ("The answer is B", "Sad"),
    ("The answer is (B).", "Sad"),
    ("answer: (b)", "Sad"),
    ("The correct option is **B. Sad**.", "Sad"),
    ("I would choose option H, Neutral.", "Neutral"),
    ("Sad", "Sad"),
    ("Other", "Other"),
    ("I. Other", "Other"),
    ("I", "Other"),
    ("A", "Angry"),
    ("\\boxed{B}", "Sad"),
    ('{"answer": "B"}', "Sad"),
    ("<answer>B</answer>", "Sad"),
    ("I think the speaker is sad.", "Sad"),
    ("I am not able to listen to audio.", "refused"),
    ("A sad voice.", "Sad"),
    ("A happy speaker, I think.", "Happy"),
    ("The emotion is a sad one.", "Sad"),
    ("The answer is a sad voice", "Sad"),
    ("B. Happy", "off_format"),
    ("The answer is B) Angry", "off_format"),
    ("B. Sadness", "Sad"),
    ("I'd go with B because the voice trembles.", "Sad"),
    ("It is not A. The answer is B.", "Sad"),
    ("Option B, not option A.", "Sad"),
    ("A. Angry\nB. Sad\nC. Happy\nD. Surprise\nE. Fear\nF. Disgust\nG. Contempt\nH. Neutral\nI. Other", "off_format"),
    ("A. Angry\nB. Sad\nC. Happy\nD. Surprise\n\nAnswer: B", "Sad"),
    ("A. Angry B. Sad C. Happy D. Surprise: I choose happy.", "Happy"),
    ("The answer is A or B.", "off_format"),
    ("B\n\nThe speaker's voice is low.", "Sad"),
    ("Sad (B)", "Sad"),
    ("First I considered A, but the final answer is E.", "Fear"),
    ("答案是B", "Sad"),
    ("The speaker's voice is calm. Thus, the answer is H. Neutral.", "Neutral"),
    ("C - Happy", "Happy"),
    ("[D]", "Surprise"),
    ("Plan A failed, so the speaker is sad.", "Sad"),
    ("Vitamin B makes him happy", "Happy"),
    ("The best choice would be: G", "Contempt"),
    ("C. Happy, I. Other? No: the answer is C.", "Happy"),
    ("frustrated", "Angry"),
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

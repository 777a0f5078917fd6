"""What is said: short sentences in two phrases, most of them neutral in wording."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """One sentence. phrases: its two halves; a pause may stand between them. colour: the emotion its words suggest."""

    phrases: tuple[str, str]
    colour: str | None = None

    @property
    def text(self) -> str:
        """The transcript: both phrases with one space between them."""
        return " ".join(self.phrases)


_NEUTRAL_WORDING = """
The meeting | starts at nine.
She put the book | on the table.
They moved | the car this morning.
I left the keys | at home.
The train | is at the station.
He is talking | to his brother.
The window | is open again.
You have | a letter from Anna.
We are going | to the market.
The phone | was on the chair.
It is | seven o'clock now.
They came back | on Monday.
He read | the paper twice.
The dog | is in the garden.
My sister | made the soup.
The door | was not locked.
I saw him | at the office.
There are | four cups here.
The bus turned | at the corner.
We have | changed the date.
She called me | last night.
The boxes | are by the stairs.
He said | it was Tuesday.
This is | the second floor.
You took | the blue jacket.
The answer | is on page ten.
"""

_COLOURED = """
Angry: Stop that | right now.
Angry: How dare you | lie to me.
Sad: I miss her | so much.
Sad: We lost | everything we had.
Happy: This is | the best day ever.
Happy: I love it, | thank you.
Surprise: Oh wow, | I had no idea.
Surprise: Wait, | you won the prize?
Fear: Please don't | leave me here.
Fear: Someone is | in the house.
Disgust: That smells | really rotten.
Disgust: The food | is full of worms.
Contempt: You are | not worth my time.
Contempt: What a | pathetic little man.
Neutral: Please sign | the form below.
Neutral: The report | has six pages.
"""


def _sentence(line: str) -> Sentence:
    colour, _, words = line.rpartition(": ")
    first, second = (phrase.strip() for phrase in words.split("|"))
    return Sentence(phrases=(first, second), colour=colour or None)


#: Wording that suggests no emotion: only the voice tells.
NEUTRAL_SENTENCES = tuple(_sentence(line) for line in _NEUTRAL_WORDING.strip().splitlines())

#: Wording that suggests one emotion, two sentences each.
COLOURED_SENTENCES = tuple(_sentence(line) for line in _COLOURED.strip().splitlines())

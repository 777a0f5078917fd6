"""What coders are asked, and by which rules they code: the same on the page and beside the spreadsheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serxbench.emotions import OTHER
from serxbench.runs import write_atomically

_CLASSES = (
    ("Angry", "1", "angry, annoyed, irritated, frustrated"),
    ("Sad", "2", "sad, disappointed, lonely, hopeless"),
    ("Happy", "3", "happy, amused, excited, pleased, playful"),
    ("Surprise", "4", "surprised, amazed, shocked"),
    ("Fear", "5", "afraid, worried, nervous, anxious"),
    ("Disgust", "6", "disgusted, revolted"),
    ("Contempt", "7", "scornful, sarcastic, mocking"),
    ("Neutral", "8", "neutral, calm, serious, matter-of-fact"),
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What people do. codes: what they may write, the key on the page, and what it means."""

    question: str
    text: str
    rules: Sequence[str]
    codes: Sequence[tuple[str, str, str]]

    @property
    def names(self) -> tuple[str, ...]:
        """The codes alone."""
        return tuple(code for code, _, _ in self.codes)


_ALONE = "Work alone, and do not talk about them until everybody is done."

#: What does an answer say?
ANSWERS = Task(
    question="What does this answer say?",
    text="A machine was asked which emotion somebody's voice conveys. Code what its answer says: not what you would "
    "have heard, and not whether it is right.",
    rules=(
        "One emotion named: its class. Several: the one that the answer calls the main one, or else the first that it "
        "gives to the speaker.",
        "What is denied, quoted, only listed, only supposed, or felt by somebody else does not count.",
        "A cautious answer that settles on an emotion has settled on it.",
        "A letter stands for the option that has it; the options are shown with the answer where there were any.",
        "An answer that names an emotion which is none of the eight classes is Other. One that commits to no emotion "
        "has a code of its own, by the reason.",
        _ALONE,
    ),
    codes=(
        *_CLASSES,
        (OTHER, "9", "an emotion that is none of these: bored, tired, proud …"),
        ("off_format", "0", "speaks, but commits to no emotion"),
        ("refused", "r", "declines to answer"),
        ("truncated", "t", "cut off before it commits"),
        ("empty", "e", "says nothing: markup or signs only"),
    ),
)

#: Which class is a word of?
WORDS = Task(
    question="Which class does this word belong to?",
    text="A machine described the emotion of somebody's voice in this word or phrase. Give the class that fits best.",
    rules=(
        "Take the word as most people use it of a voice.",
        "A milder or stronger degree of a class, or a form of it, belongs to it.",
        "An emotion or state that fits none of the eight classes, and what is no emotion at all, is Other.",
        _ALONE,
    ),
    codes=(*_CLASSES, (OTHER, "9", "none of these, or no emotion")),
)


def write_instructions(path: Path, task: Task) -> None:
    """Writes the rules as a text file, for those who code in a spreadsheet."""
    rules = "\n".join(f"- {rule}" for rule in task.rules)
    codes = "\n".join(f"  {code:<11}{meaning}" for code, _, meaning in task.codes)
    how = "Write one of these in the column `label` of each row. The column `note` is free."
    write_atomically(path, f"{task.question}\n\n{task.text}\n\n{rules}\n\n{how}\n\n{codes}\n")

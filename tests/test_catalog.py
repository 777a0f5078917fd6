"""Cards and prompts: what is embedded is well formed, and what is malformed is named."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from serxbench.adapters import find_adapter
from serxbench.catalog import list_cards, list_prompts, load_prompt, read_card, resolve_card
from serxbench.emotions import EMOTIONS
from serxbench.errors import DefinitionError, SerxbenchError, UnknownName, UsageError

CLOSED = """What emotion do you think the audio expresses? Choose one from the following options:
A. Angry
B. Sad
C. Happy
D. Surprise
E. Fear
F. Disgust
G. Contempt
H. Neutral
I. Other"""


def test_the_questions_are_the_papers() -> None:
    assert load_prompt("open", EMOTIONS).text == "What emotion do you think the audio expresses?"
    closed = load_prompt("closed", EMOTIONS)
    assert closed.text == CLOSED
    assert closed.sha256 == hashlib.sha256(CLOSED.encode()).hexdigest()
    assert closed.options is not None
    assert closed.options[-1] == ("I", "Other")
    assert load_prompt("open", EMOTIONS).options is None


@pytest.mark.parametrize("form", ["open", "closed"])
def test_chain_of_thought_keeps_the_question(form: str) -> None:
    question = load_prompt(form, EMOTIONS).text
    assert load_prompt(f"{form}-cot", EMOTIONS).text.startswith(question + "\nThink step by step")


def test_options_come_from_the_corpus() -> None:
    prompt = load_prompt("closed", ("Angry", "Sad"))
    assert prompt.text.splitlines()[1:] == ["A. Angry", "B. Sad", "C. Other"]
    assert prompt.sha256 != load_prompt("closed", EMOTIONS).sha256


#: Cards whose commit nobody has seen yet; each is a promise that its adapter is tested on the architecture only.
UNPINNED: frozenset[str] = frozenset()


@pytest.mark.parametrize("name", sorted(list_cards()))
def test_embedded_cards_are_whole(name: str) -> None:
    card = read_card(list_cards()[name])
    assert card.prompt_style in find_adapter(card.adapter).PROMPT_STYLES
    pinned = card.folder or card.revision or card.settings.get("sha256")
    assert card.repository == "none" or pinned or name in UNPINNED, "hub weights are pinned"
    assert card.notes


def card_text(**fields: str) -> str:
    known = {"name": "mine", "adapter": "qwen2_audio", "repository": "org/model", "licence": "MIT", **fields}
    return "---\n" + "".join(f"{key}: {value}\n" for key, value in known.items() if value) + "---\nprose\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no front matter", "front matter wanted"),
        ("---\nname: mine\n", "not closed"),
        ("---\nname: [mine\n---\n", "not valid YAML"),
        ("---\n- a\n---\n", "must be 'key: value'"),
        (card_text(licence=""), "missing key: licence"),
        (card_text(adaptor="x"), "unknown key 'adaptor'; did you mean 'adapter'"),
        (card_text(memory_gib="lots"), "'memory_gib' must be of type float; found 'lots'"),
        (card_text(name="yours"), "its name is 'yours'; wanted the file's, 'mine'"),
    ],
)
def test_malformed_cards_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.md"
    path.write_text(text)
    with pytest.raises(DefinitionError, match=message):
        read_card(path)


def test_a_card_in_a_folder_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "mine.md").write_text(card_text(repository="weights"))
    by_name = resolve_card("mine", [tmp_path])
    assert by_name == resolve_card(str(tmp_path / "mine.md"))
    assert by_name.folder == tmp_path / "weights", "a relative repository is relative to the card"


def test_a_checkpoint_folder_needs_no_card(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert resolve_card(str(tiny_checkpoint)).adapter == "qwen2_audio"
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UsageError, match="no adapter loads model_type 'bert'"):
        resolve_card(str(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(UsageError, match=r"has no config\.json"):
        resolve_card(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "nearest"), [("qwen2audio", "q2a"), ("q2b", "q2a"), ("nanno", "nano"), ("nano.md", "no such file")]
)
def test_unknown_models_name_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=nearest):
        resolve_card(name)


PROMPT = "---\nname: mine\nversion: 1\ntask: respond\nsource: me\n{more}---\n{text}\n"


@pytest.mark.parametrize(
    ("more", "text", "message"),
    [
        ("", "{{options}}", "'options' is used in the text and not declared"),
        ("variables: [options]\n", "no variable", "'options' is declared and not used"),
        ("variables: [labels]\n", "{{labels}}", "no value for {{labels}}"),
        ("mode: opne\n", "text", "mode must be one of open, closed; found 'opne'"),
        ("color: red\n", "text", "unknown key 'color'"),
        ("", "", "has no text"),
    ],
)
def test_malformed_prompts_are_named(tmp_path: Path, more: str, text: str, message: str) -> None:
    (tmp_path / "mine.md").write_text(PROMPT.format(more=more, text=text))
    with pytest.raises(DefinitionError, match=message):
        load_prompt("mine", EMOTIONS, [tmp_path])


def test_unknown_prompts_and_folders() -> None:
    with pytest.raises(UnknownName, match="did you mean 'closed'"):
        load_prompt("closd", EMOTIONS)
    with pytest.raises(SerxbenchError, match="no such folder"):
        list_prompts([Path("nowhere")])

"""The sheets that people code answers on, as CSV: no answer can do anything, every fault of a filled one is named."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from serxbench.errors import RunError, nearest
from serxbench.runs import write_atomically
from serxbench.stages.audit_rules import Task

COLUMNS = ("item", "options", "answer", "label", "note")

#: A cell that begins so is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

#: Spreadsheets cut cells at 32,767 characters without a word.
_LONGEST_CELL = 30_000

#: Faults that one message names.
_NAMED = 20


@dataclass(frozen=True, kw_only=True)
class Item:
    """One answer as a coder sees it. given: the codes that are disagreed about, on the adjudicator's sheet."""

    item: str
    answer: str
    options: Sequence[tuple[str, str]] | None = None
    given: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Coding:
    """One person's codes. labels: item → one of the task's codes."""

    name: str
    labels: Mapping[str, str]


def shown_options(options: Sequence[tuple[str, str]] | None) -> str:
    """The options that an answer could choose from, as a coder reads them."""
    return "  ".join(f"({letter}) {label}" for letter, label in options or ())


def write_sheet(path: Path, items: Iterable[Item], *, adjudication: bool = False) -> None:
    """Writes the sheet: UTF-8 with a byte order mark, every cell quoted, `label` and `note` empty."""
    columns = [*COLUMNS[:3], *(["given"] if adjudication else []), *COLUMNS[3:]]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(columns)
    for each in items:
        given = [", ".join(each.given)] if adjudication else []
        row = [each.item, shown_options(each.options), each.answer, *given, "", ""]
        writer.writerow([safe_cell(cell) for cell in row])
    write_atomically(path, "\ufeff" + buffer.getvalue())


def safe_cell(text: str) -> str:
    """`text` so that a spreadsheet shows it and does nothing else: no formula, no control character, no cut.

    >>> safe_cell('=HYPERLINK("http://x")'), safe_cell("a\\x00b"), safe_cell("sad")
    ('\\'=HYPERLINK("http://x")', 'a␀b', 'sad')
    """
    plain = "".join(_visible(letter) for letter in text)
    if len(plain) > _LONGEST_CELL:
        left = len(plain) - _LONGEST_CELL
        plain = f"{plain[: _LONGEST_CELL // 2]} [… {left} characters left out …] {plain[-_LONGEST_CELL // 2 :]}"
    # white space before a formula is stripped by some programs
    return f"'{plain}" if plain.startswith(_FORMULA) or plain.lstrip().startswith(_FORMULA) else plain


def _visible(letter: str) -> str:
    """A control character as its picture; line breaks and tabs as they are, lone surrogates replaced."""
    code = ord(letter)
    if code < 32 and letter not in "\n\t":
        return "" if letter == "\r" else chr(0x2400 + code)
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else letter


def read_coding(path: Path, wanted: Iterable[str], sample: str, task: Task) -> Coding:
    """The codes in a filled sheet: the CSV, as any spreadsheet saves it, or what the page exports.

    wanted: the items that must be coded. sample: the sample that they are of, which the page's JSON names.
    Raises RunError naming file and line of everything that is wrong: unknown items and codes, items coded twice or
    not at all.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot read the sheet ({error.strerror})") from error
    rows = list(_json_rows(path, content, sample) if path.suffix == ".json" else _csv_rows(path, content))
    known = list(wanted)
    faults, labels = [], {}
    lines = Counter(item for _, item, _ in rows)
    for where, item, label in rows:
        fault = _fault(item, label, known, lines[item], task)
        if fault:
            faults.append(f"{where}: {fault}")
        else:
            labels[item] = _code(label, task) or ""
    if absent := [item for item in known if item not in lines]:
        faults.append(f"{path}: {len(absent)} items are not there: {', '.join(absent[:_NAMED])}")
    if faults:
        more = f"\n  … and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        listed = "\n  ".join(faults[:_NAMED])
        raise RunError(f"{path}: {len(faults)} faults; mend them and repeat the command:\n  {listed}{more}")
    return Coding(name=path.stem, labels=labels)


def _fault(item: str, label: str, known: Sequence[str], n_lines: int, task: Task) -> str | None:
    if item not in known:
        return f"item {item!r} is not in this sample"
    if n_lines > 1:
        return f"item {item} is there {n_lines} times; keep one line"
    if not label:
        return f"item {item} has no label"
    if _code(label, task) is None:
        near = nearest(label, task.names)
        hint = f"did you mean {near}?" if near else f"wanted one of {', '.join(task.names)}"
        return f"item {item} has label {label!r}; {hint}"
    return None


def _code(label: str, task: Task) -> str | None:
    return {code.casefold(): code for code in task.names}.get(label.casefold().replace(" ", "_"))


def _csv_rows(path: Path, content: bytes) -> Iterator[tuple[str, str, str]]:
    """(file:line, item, label) of each row; spreadsheets save with commas, semicolons or tabs, in many encodings."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = content.decode("utf-16", errors="replace")
    else:
        text = content.decode("utf-8-sig", errors="replace")  # items and codes are ASCII in every encoding
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = {(name or "").strip().casefold(): name for name in reader.fieldnames or ()}
    if not {"item", "label"} <= names.keys():
        raise RunError(f"{path}: has the columns {', '.join(names) or 'none'}; wanted item and label among them")
    try:
        for row in reader:
            cells = [(row[names[name]] or "").strip() for name in ("item", "label")]
            if any((value or "").strip() for value in row.values() if isinstance(value, str)):
                yield f"{path}:{reader.line_num}", cells[0], cells[1]
    except csv.Error as error:
        raise RunError(f"{path}:{reader.line_num}: is not CSV ({error})") from error


def _json_rows(path: Path, content: bytes, sample: str) -> Iterator[tuple[str, str, str]]:
    try:
        found = json.loads(content)
        rows = [(str(item), str(label)) for item, label in found["labels"].items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: is not what the page exports ({type(error).__name__}: {error})") from error
    if found.get("sample") != sample:
        raise RunError(
            f"{path}: is of the sample {found.get('sample')}, wanted {sample}; which sample was it made for?"
        )
    for item, label in rows:
        yield str(path), item, label

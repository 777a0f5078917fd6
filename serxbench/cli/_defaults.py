"""Where the defaults of options come from: `serxbench.toml` in this folder or one above, below environment variables.

    data-root = "/corpora"            any option of any verb, by its long name
    [run]                             or only for one verb
    batch-size = 32
    [data-roots]                      the folder of each corpus
    crema-d = "/corpora/CREMA-D"

An environment variable is called SERXBENCH_ and the option's name, for instance SERXBENCH_BATCH_SIZE=32; the file of
another place is named by SERXBENCH_CONFIG.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serxbench.errors import SettingsError, UnknownName

if TYPE_CHECKING:
    import click

FILE_NAME = "serxbench.toml"
DATA_ROOTS = "data-roots"


def load_defaults() -> dict[str, Any]:
    """click's default_map: verb → option → value. Raises SettingsError."""
    path = find_file()
    if path is None:
        return {}
    settings = _read(path)
    settings.pop(DATA_ROOTS, None)
    options = _options_by_verb()
    shared = {key: value for key, value in settings.items() if not isinstance(value, dict)}
    every = sorted({option for known in options.values() for option in known})
    for key in shared:
        if key not in every:
            raise SettingsError(f"{path}: {UnknownName('setting', key, [*every, *options, DATA_ROOTS])}")
    defaults: dict[str, Any] = {}
    for verb, known in options.items():
        own = settings.get(verb, {})
        for key in own:
            if key not in known:
                raise SettingsError(f"{path}: [{verb}] {UnknownName('setting', key, known)}")
        chosen = {**{key: value for key, value in shared.items() if key in known}, **own}
        # One value of an option that may be repeated needs no list.
        defaults[verb] = {
            known[key].name: [value] if known[key].multiple and isinstance(value, str) else value
            for key, value in chosen.items()
        }
    for section in settings.keys() - options.keys() - shared.keys():
        raise SettingsError(f"{path}: {UnknownName('section', section, [*options, DATA_ROOTS])}")
    return defaults


def data_root_of(corpus: str) -> Path | None:
    """The folder of a corpus as the settings name it, None if they do not."""
    path = find_file()
    roots = _read(path).get(DATA_ROOTS, {}) if path else {}
    if not isinstance(roots, dict):
        raise SettingsError(f'{path}: [{DATA_ROOTS}] must be a section of corpus = "folder" lines')
    root = roots.get(corpus)
    return Path(root).expanduser() if root else None


def find_file() -> Path | None:
    """The settings file in force, None if there is none."""
    named = os.environ.get("SERXBENCH_CONFIG")
    if named:
        if not Path(named).is_file():
            raise SettingsError(f"SERXBENCH_CONFIG={named}: no such file")
        return Path(named)
    here = Path.cwd()
    return next((folder / FILE_NAME for folder in (here, *here.parents) if (folder / FILE_NAME).is_file()), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path}: not a readable TOML file ({error})") from error


def _options_by_verb() -> dict[str, dict[str, click.Option]]:
    """Verb → long option name without dashes → click's option."""
    import click

    from serxbench.cli import Verbs, cli

    assert isinstance(cli, Verbs)
    context = click.Context(cli)
    verbs: dict[str, dict[str, click.Option]] = {}
    for verb in cli.list_commands(context):
        command = cli.get_command(context, verb)
        assert command is not None
        verbs[verb] = {
            name.removeprefix("--"): parameter
            for parameter in command.params
            if isinstance(parameter, click.Option) and parameter.name
            for name in parameter.opts
            if name.startswith("--")
        }
    return verbs

"""A definition to begin with: every key and role of an adapter, told in comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from ensembler.predicting.contract import Adapter, Learner
from ensembler.predicting.keys import config_keys
from ensembler.toml import toml_key, toml_value

WIDTH: Final = 80


def toml_skeleton(name: str, adapter: type[Adapter]) -> str:
    """A definition in TOML that is complete but for its values.

    What must be given stands with something to be replaced. What need not is switched off, as in
    `#beams = 3`, with its default: switching it on changes nothing.

    Args:
        name: of the adapter.
        adapter: what it names.

    Returns:
        The text, with a final newline.
    """
    lines = [f"adapter = {toml_value(name)}", "", "[config]", *_config(adapter), "", "[files]"]
    for role, of in adapter.roles.items():
        lines += _comment(of.what)
        lines.append(f"{'' if of.required else '#'}{toml_key(role)} = {toml_value(role)}")
    learner: object = adapter
    if not isinstance(learner, Learner):
        lines += [
            "",
            *_comment("For each checkpoint trained without a fold, the files that differ:"),
        ]
        lines += ["#[[checkpoints]]", "#fold = 0"]
        needed = [role for role, of in adapter.roles.items() if of.required]
        lines += [f"#{toml_key(role)} = {toml_value(f'fold0/{role}')}" for role in needed[:1]]
    return "\n".join(lines) + "\n"


def _config(adapter: type[Adapter]) -> Iterator[str]:
    for key in config_keys(adapter.Config):
        about = f"; {key.about}" if key.about else ""
        if "." in key.name:  # of a table that was written whole
            unset = "" if key.value is None else f", {toml_value(key.value)} unless given"
            given = ", required" if key.required else unset
            yield from _comment(f"  {key.name}: {key.kind}{given}{about}")
            continue
        yield from _comment(f"{key.kind}{about}")
        value = "" if key.value is None else f" {toml_value(key.value)}"
        yield f"{'' if key.required else '#'}{toml_key(key.name)} ={value}"


def _comment(text: str) -> list[str]:
    """A sentence as lines of comment, a blank after the sign: keys switched off have none."""
    indent = "# " + " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(
        text.strip(),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )

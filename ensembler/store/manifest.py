"""Reading a store's manifest, the file that makes a folder a store."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from ensembler.errors import StoreError
from ensembler.faults import faults_of
from ensembler.store.model import FORMAT, VERSION, Manifest

MANIFEST: Final = "manifest.json"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a store of any released version.

    Args:
        folder: the store's.

    Raises:
        StoreError: there is no such folder (the nearest store beside it is offered), it is not a
            store, or its manifest is broken or of an unknown version.
    """
    file = folder / MANIFEST
    try:
        document = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise StoreError(_not_a_store(folder)) from error
    except NotADirectoryError as error:
        raise StoreError(f"{folder} is a file, not a store folder; name the folder") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{file} cannot be read: {error}; restore it from a copy") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise StoreError(f'{file} is not an OOF store\'s: it lacks "format": "{FORMAT}"')
    if document.get("version") != VERSION:
        raise StoreError(
            f"{file} is of version {document.get('version')!r}; this ensembler reads version"
            f" {VERSION}: upgrade ensembler"
        )
    try:
        return Manifest.model_validate_json(json.dumps(document))
    except ValidationError as error:
        faults = faults_of(error, Manifest)
        raise StoreError(f"{file}: {faults}; restore it from a copy") from error


def _not_a_store(folder: Path) -> str:
    """The message for a folder without a manifest, or without existence."""
    if folder.is_dir():
        return (
            f"{folder} is not an OOF store: it has no {MANIFEST};"
            " make one with `ensembler store create`"
        )
    beside = [manifest.parent.name for manifest in folder.parent.glob(f"*/{MANIFEST}")]
    close = difflib.get_close_matches(folder.name, beside, n=1)
    if close:
        return f"there is no folder {folder}; did you mean {folder.with_name(close[0])}?"
    return f"there is no folder {folder}; name a store, or make one with `ensembler store create`"

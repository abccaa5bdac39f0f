"""A folder that is not a store is refused for what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensembler.errors import StoreError
from ensembler.store.reader import Store


def test_a_missing_folder_is_told_with_the_nearest_store_beside_it(store: Store) -> None:
    (store.path.parent / "stores").mkdir()  # nearer by its name, but no store
    with pytest.raises(StoreError, match=r"there is no folder .*storrs; did you mean .*/store\?$"):
        Store.open(store.path.with_name("storrs"))


@pytest.mark.parametrize("name", ["elsewhere", "no/such"])
def test_a_missing_folder_with_no_store_of_a_like_name_offers_the_command(
    store: Store, name: str
) -> None:
    with pytest.raises(StoreError, match=r"there is no folder .*; name a store, or make one"):
        Store.open(store.path.parent / name)


def test_a_folder_without_a_manifest_is_not_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is not an OOF store: it has no manifest\.json; make"):
        Store.open(tmp_path)

"""What pydantic finds wrong, as one line."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ensembler.faults import faults_of


class Wheel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    spokes: int


class Cart(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    wheels: tuple[Wheel, ...] = ()
    spare: dict[str, Wheel] = {}
    load: int | tuple[int, ...] = 0
    bells: tuple[Literal["brass", "tin"], ...] = Field(("tin",), min_length=1)

    @model_validator(mode="after")
    def _rolls(self) -> Cart:
        if self.load and not self.wheels:
            raise ValueError("a load needs wheels")
        return self


def faults(document: str) -> str:
    try:
        Cart.model_validate_json(document)
    except ValidationError as error:
        return faults_of(error, Cart, {"load": "load: give one number or several"})
    return ""


def test_all_faults_are_listed_with_their_places() -> None:
    assert faults('{"wheels": [{"spokes": "8"}, {}]}') == (
        "wheels.0.spokes: Input should be a valid integer, not '8'; wheels.1.spokes: Field required"
    )


def test_an_unknown_key_offers_the_nearest_of_its_place() -> None:
    assert faults('{"wheel": 1, "spare": {"left": {"spokes": 8, "spoke": 9}}}') == (
        "spare.left: no key named 'spoke'; did you mean 'spokes'?;"
        " no key named 'wheel'; did you mean 'wheels'?"
    )


def test_a_keys_own_sentence_appears_once_whatever_its_faults() -> None:
    assert faults('{"load": ["x", "y"]}') == "load: give one number or several"


def test_what_is_wrong_with_the_whole_has_no_place() -> None:
    assert faults('{"load": 3}') == "a load needs wheels"


class Sail(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["sail"] = "sail"
    area: float


class Boat(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["boat"] = "boat"
    towed: Drive | None = None
    oars: int


Drive = Annotated[Sail | Boat, Field(discriminator="kind")]
Boat.model_rebuild()


class Barge(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    drives: tuple[Drive, ...]


@pytest.mark.parametrize(
    ("drive", "fault"),
    [
        ('{"kind": "sail", "area": "x"}', "drives.0.area: Input should be a valid number"),
        ('{"kind": "sail", "aera": 1.0}', "drives.0: no key named 'aera'; did you mean 'area'?"),
        ('{"kind": "boat", "oras": 2}', "drives.0: no key named 'oras'; did you mean 'oars'?"),
        (
            '{"kind": "boat", "oars": 2, "towed": {"kind": "boat", "oars": 2.5}}',
            "drives.0.towed.oars: Input should be a valid integer",
        ),
        ('{"kind": "kite"}', "drives.0: Input tag 'kite' found using 'kind'"),
    ],
)
def test_the_kind_of_a_part_is_not_a_step_of_its_place(drive: str, fault: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Barge.model_validate_json(f'{{"drives": [{drive}]}}')
    assert fault in faults_of(caught.value, Barge)


def test_the_value_that_was_found_is_told_and_the_nearest_offered() -> None:
    assert faults('{"bells": ["bras"]}') == (
        "bells.0: Input should be 'brass' or 'tin', not 'bras'; did you mean 'brass'?"
    )


def test_a_list_is_not_called_too_short_for_the_items_that_were_refused() -> None:
    assert "at least 1 item" in faults('{"bells": []}')
    assert "at least 1 item" not in faults('{"bells": [3]}')

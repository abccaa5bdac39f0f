"""Pairs are dropped for the first reason that holds, and every drop is counted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembler.curation import filtering, filtering_images
from ensembler.curation.filtering import filter_pairs
from ensembler.curation.filtering_rules import Reason, Rules
from ensembler.curation.filtering_text import read_banned, text_judge
from ensembler.curation.pairs import read_pairs
from ensembler.errors import InputError
from ensembler.images.decode import decode

SHARED = Path(__file__).parents[3] / "shared" / "data"
WORDS = st.sampled_from(["bra", "Zebra", "the", "cat", "CAT", "ein", "çat", "a1"])


def images_in(path: Path) -> list[str]:
    images: list[str] = pa.concat_tables(read_pairs(path))["image"].to_pylist()
    return images


@pytest.fixture
def pairs(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """A pair for every reason, with its images; the last ones pass all rules."""
    folder = tmp_path / "images"
    for name in ("ok", "also", "few", "many", "bad", "german"):
        write_image(folder / f"{name}.png")
    write_image(folder / "black.jpg", colour=(0, 0, 0))
    write_image(folder / "pink.webp", colour=(250, 100, 150))
    write_image(folder / "long.png", size=(90, 30))
    write_image(folder / "high.png", size=(30, 90))
    (folder / "cut.png").write_bytes((folder / "ok.png").read_bytes()[:100])
    prompt = "a red car on a beach at sunset"
    prompts = {
        **dict.fromkeys(("black", "pink", "long", "high", "cut", "missing", "ok", "also"), prompt),
        "few": "car",
        "many": "car " * 20,
        "bad": "a portrait of a Nude, woman in a garden",
        "german": "eine alte Frau mit Hut, Ölgemälde auf Leinwand",
    }
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"{image}\t{text}\t1\n" for image, text in prompts.items()))
    return file


RULES = Rules(
    min_words=2,
    max_words=19,
    banned=("nude woman",),
    languages=("en",),
    max_aspect=2.9,
    blank=True,
)


def run(pairs: Path, rules: Rules = RULES, **options: Any) -> filtering.Filtered:  # noqa: ANN401 - of filter_pairs
    options = {"images": pairs.parent / "images", "workers": 2, **options}
    return filter_pairs(pairs, pairs.parent / "kept.tsv", rules, **options)


def test_each_reason_drops_its_pair_and_the_rest_stay_in_order(pairs: Path) -> None:
    filtered = run(pairs)
    assert filtered.dropped == {
        Reason.SHORT: 1,
        Reason.LONG: 1,
        Reason.BANNED: 1,
        Reason.LANGUAGE: 1,
        Reason.UNREADABLE: 2,
        Reason.ASPECT: 2,
        Reason.BLANK: 2,
    }
    assert (filtered.pairs, filtered.kept, filtered.resumed) == (12, 2, 0)
    assert images_in(pairs.parent / "kept.tsv") == ["ok", "also"]
    assert {path.name for path in pairs.parent.iterdir()} == {"images", "pairs.tsv", "kept.tsv"}


def test_only_what_is_asked_for_is_looked_for(pairs: Path) -> None:
    filtered = run(pairs, Rules(min_words=2), images=None)
    assert filtered.dropped == {Reason.SHORT: 1}
    assert run(pairs, Rules()).dropped == {Reason.UNREADABLE: 2}
    assert set(run(pairs, Rules(blank=True)).dropped) == {Reason.UNREADABLE, Reason.BLANK}


def test_bounds_count_as_within(pairs: Path) -> None:
    assert run(pairs, Rules(min_words=1, max_words=20, max_aspect=3.0)).dropped == {
        Reason.SHORT: 0,
        Reason.LONG: 0,
        Reason.UNREADABLE: 2,
        Reason.ASPECT: 0,
    }


def test_a_run_goes_on_after_an_interruption_and_ends_as_if_there_had_been_none(
    pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(pairs)
    expected = (pairs.parent / "kept.tsv").read_bytes()
    (pairs.parent / "kept.tsv").unlink()
    monkeypatch.setattr(filtering, "BLOCK", 3)
    judged: list[list[str]] = []
    judge = filtering_images.judge_images

    def stopping(folder: Path, images: list[str], *rest: Any) -> list[Reason | None]:  # noqa: ANN401 - passed on
        judged.append(list(images))
        if len(judged) == 3:
            raise KeyboardInterrupt
        return judge(folder, images, *rest)

    monkeypatch.setattr(filtering, "judge_images", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(pairs)
    assert not (pairs.parent / "kept.tsv").exists()
    filtered = run(pairs)
    assert filtered.resumed == 6
    assert (filtered.kept, filtered.dropped) == (whole.kept, whole.dropped)
    assert (pairs.parent / "kept.tsv").read_bytes() == expected
    assert judged[3] == judged[2]


def test_a_cut_block_of_verdicts_is_judged_again(
    pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filtering, "BLOCK", 6)
    with monkeypatch.context() as patch:
        patch.setattr(filtering, "_write", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(pairs)
    verdicts = pairs.parent / ".kept.tsv.filter" / "00001.npy"
    verdicts.write_bytes(verdicts.read_bytes()[:-2])
    filtered = run(pairs)
    assert (filtered.resumed, filtered.kept) == (6, 2)


def test_other_rules_or_pairs_do_not_go_on_with_what_was_begun(
    pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filtering, "_write", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(pairs)
    digests = "[0-9a-f]{64} there, [0-9a-f]{64} here"
    with pytest.raises(InputError, match=f"started with other arguments: rules {digests}"):
        run(pairs, Rules(min_words=2))
    pairs.write_text(pairs.read_text().replace("sunset", "noon"))
    with pytest.raises(InputError, match=f"started with other arguments: pairs {digests}"):
        run(pairs)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_table_of_which_nothing_is_left_is_not_written(pairs: Path) -> None:
    rules = Rules(min_words=50)
    with pytest.raises(InputError, match=r"none of the 12 pairs .* is left .too few words: 12"):
        run(pairs, rules, images=None)
    assert {path.name for path in pairs.parent.iterdir()} == {"images", "pairs.tsv"}


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (Rules(), "no rule was given"),
        (Rules(blank=True), "rules for images need the folder"),
        (Rules(max_aspect=2.0), "rules for images need the folder"),
        (Rules(max_aspect=float("nan")), "max_aspect = nan is below 1"),
        (Rules(max_aspect=0.5), "max_aspect = 0.5 is below 1"),
        (Rules(min_words=3, max_words=2), "at least 3 words and at most 2"),
        (Rules(languages=("eng",)), "no language named 'eng'; did you mean 'en'"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(pairs: Path, rules: Rules, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        run(pairs, rules, images=None)


def test_a_folder_that_is_not_there_is_refused(pairs: Path) -> None:
    with pytest.raises(InputError, match="there is no folder of images"):
        run(pairs, images=pairs.parent / "imags")


@given(st.lists(WORDS, min_size=1), st.lists(st.lists(WORDS, min_size=1, max_size=2), min_size=1))
def test_banned_words_are_those_that_a_regular_expression_finds(
    prompt: list[str], banned: list[list[str]]
) -> None:
    rules = Rules(banned=tuple(" ".join(phrase) for phrase in banned))
    text = ", ".join(prompt)
    naive = any(
        re.search(r"\b" + r"\W+".join(phrase) + r"\b", text, re.IGNORECASE) for phrase in banned
    )
    assert (text_judge(rules)(text) is Reason.BANNED) == naive


@pytest.mark.parametrize(
    ("prompt", "dropped"),
    [
        ("bond", False),
        ("a red car", False),
        ("beautiful landscape, trending on artstation, 8k", False),
        ("portrait by inez van lamsweerde & vinoodh matadin", False),
        ("1 2 3", False),
        ("un gato negro sobre una mesa de madera", True),
        ("portrait d'une femme dans un jardin fleuri", True),
        ("красная машина на пляже", True),
        ("红色的汽车在海滩上", True),
    ],
)
def test_short_prompts_full_of_names_stay_and_other_languages_go(
    prompt: str, dropped: bool
) -> None:
    assert (text_judge(Rules(languages=("en",)))(prompt) is Reason.LANGUAGE) == dropped


def test_every_language_that_is_named_is_welcome() -> None:
    judge = text_judge(Rules(languages=("en", "es")))
    assert judge("un gato negro sobre una mesa de madera") is None
    assert judge("portrait d'une femme dans un jardin fleuri") is Reason.LANGUAGE


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("\n \n", "lists no word"), ("a\n--\n", "line 2, '--', has no letter or digit")],
)
def test_a_list_without_words_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "banned.txt").write_text(content)
    with pytest.raises(InputError, match=sentence):
        read_banned(tmp_path / "banned.txt")
    with pytest.raises(InputError, match="cannot be read as a list of words"):
        read_banned(tmp_path / "none.txt")


def test_an_image_with_noise_of_one_step_is_blank_by_its_deviation(
    tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    from PIL import Image

    file, rng = write_image(tmp_path / "a.png"), np.random.default_rng(0)
    for spread, blank in ((1.5, True), (2.5, False)):
        pixels = np.clip(rng.normal(128, spread, (64, 64, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(file)
        naive = max(np.asarray(decode(file), np.float64).std(axis=(0, 1)))
        reason = filtering_images._judge(tmp_path, "a", Rules(blank=True))
        assert (reason is Reason.BLANK) == blank == (naive <= filtering_images.BLANK)


def test_no_real_image_of_stable_diffusion_is_blank(tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip("needs ../shared")
    rules = Rules(blank=True, max_aspect=2.0)
    filtered = filter_pairs(
        *(SHARED / "competition_sample" / "prompts.csv", tmp_path / "kept.csv", rules),
        images=SHARED / "competition_sample" / "images",
    )
    assert (filtered.kept, sum(filtered.dropped.values())) == (7, 0)

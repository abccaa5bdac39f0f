"""The beam search against exhaustive search, and against transformers' own on GPT-2."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from predictors.coca.beams import Bounds, Hypothesis, beam_search

END, START, VOCABULARY = 2, 3, 4  # tokens 0 and 1 are words; a start may be said again
LONGEST = 4

Logits = Callable[[int, list[int]], np.ndarray]


def logits_of(image: int, tokens: list[int]) -> np.ndarray:
    """An arbitrary model's logits, (VOCABULARY,) float64, for an image and the text so far."""
    return np.random.default_rng([image, *tokens]).normal(size=VOCABULARY) * 2.0


def step_for(images: list[int], beams: int) -> Callable[[torch.Tensor], torch.Tensor]:
    def step(tokens: torch.Tensor) -> torch.Tensor:
        rows = [logits_of(images[row // beams], texts) for row, texts in enumerate(tokens.tolist())]
        return torch.from_numpy(np.array(rows))

    return step


def search(images: list[int], beams: int, shortest: int = 0) -> list[list[Hypothesis]]:
    bounds = Bounds(START, END, shortest, LONGEST)
    return beam_search(step_for(images, beams), len(images), beams, bounds, "cpu")


def every_text(image: int, shortest: int) -> list[Hypothesis]:
    """All texts, best first: those that end, and those that are cut."""
    found = []
    words = [token for token in range(VOCABULARY) if token != END]
    for length in range(1, LONGEST + 1):
        for body in itertools.product(words, repeat=length - 1):
            for last in range(VOCABULARY):
                cut = last != END
                if (cut and length < LONGEST) or (not cut and length <= shortest):
                    continue
                said, total = [START], 0.0
                for token in (*body, last):
                    logits = logits_of(image, said)
                    allowed = np.exp(logits - logits.max())
                    total += math.log(allowed[token] / allowed.sum())
                    said.append(token)
                found.append(Hypothesis(said[1:] if cut else said[1:-1], total / length))
    return sorted(found, key=lambda one: -one.score)


@pytest.mark.parametrize("shortest", [0, 2])
def test_a_beam_for_every_text_finds_what_exhaustive_search_does(shortest: int) -> None:
    images = [11, 12, 13]
    exhaustive = [every_text(image, shortest) for image in images]
    found = search(images, beams=130, shortest=shortest)
    for ours, theirs in zip(found, exhaustive, strict=True):
        assert [one.tokens for one in ours] == [one.tokens for one in theirs]
        np.testing.assert_allclose(
            [one.score for one in ours], [one.score for one in theirs], atol=1e-5
        )


@pytest.mark.parametrize("beams", [1, 3])
def test_an_images_texts_do_not_depend_on_what_is_searched_beside_it(beams: int) -> None:
    together = search([21, 22, 23, 24, 25], beams)
    alone = [search([image], beams)[0] for image in (21, 22, 23, 24, 25)]
    assert [[one.tokens for one in several] for several in together] == [
        [one.tokens for one in several] for several in alone
    ]


def test_fewer_beams_never_find_a_better_text() -> None:
    for image in range(30, 50):
        best = every_text(image, 0)[0].score
        assert search([image], 3)[0][0].score <= best + 1e-6


def test_a_nan_in_the_logits_is_a_nan_in_the_scores_of_its_image_alone() -> None:
    def step(tokens: torch.Tensor) -> torch.Tensor:
        logits = step_for([51, 52], 2)(tokens)
        logits[2:] = math.nan
        return logits

    sound, lost = beam_search(step, 2, 2, Bounds(START, END, 0, LONGEST), "cpu")
    assert sound == search([51], 2)[0]
    assert all(math.isnan(one.score) for one in lost)


@pytest.mark.parametrize(("beams", "shortest"), [(1, 1), (2, 1), (4, 3), (6, 1)])
def test_texts_and_scores_are_those_of_transformers_beam_search(beams: int, shortest: int) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(6)
    config = GPT2Config(
        vocab_size=12,
        n_positions=32,
        n_embd=16,
        n_layer=1,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.7,
    )
    model = GPT2LMHeadModel(config)
    model.train(mode=False)
    prefix = torch.randn(7, 3, 16)
    theirs = model.generate(
        inputs_embeds=prefix,
        attention_mask=torch.ones(7, 3, dtype=torch.long),
        num_beams=beams,
        num_return_sequences=beams,
        do_sample=False,
        pad_token_id=0,
        min_new_tokens=shortest,
        max_new_tokens=9,
        return_dict_in_generate=True,
        output_scores=True,
    )
    rows = prefix.repeat_interleave(beams, dim=0)

    def step(tokens: torch.Tensor) -> torch.Tensor:
        said = model.get_input_embeddings()(tokens[:, 1:])
        logits: torch.Tensor = model(inputs_embeds=torch.cat([rows, said], dim=1)).logits
        return logits[:, -1]

    with torch.no_grad():
        ours = beam_search(step, 7, beams, Bounds(0, 0, shortest, 9), "cpu")
    flat = [one for several in ours for one in several]
    texts = [[token for token in row if token != 0] for row in theirs.sequences.tolist()]
    assert [one.tokens for one in flat] == texts
    if beams > 1:  # of a greedy search transformers gives no scores
        scores = theirs.sequences_scores.numpy()
        np.testing.assert_allclose([one.score for one in flat], scores, atol=1e-5)

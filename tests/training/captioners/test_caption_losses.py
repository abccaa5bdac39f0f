"""What a text costs is what the libraries' own models say of it, one text at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ensembler.training.recipe import Loss
from predictors.blip.config import BlipConfig
from predictors.blip.loading import load_blip
from predictors.blip.train import BlipTrainee
from predictors.clip_gpt2.captioning import begin_parts
from predictors.clip_gpt2.config import ClipGpt2Config
from predictors.clip_gpt2.train import PrefixTrainee
from predictors.coca.config import CocaConfig
from predictors.coca.model import load_coca
from predictors.coca.train import CocaTrainee
from predictors.shared.training.captions import CaptionOutput, CaptionTrainee, Pairs, TextAim
from predictors.shared.training.losses import PADDING, token_nll
from tests.training.captioners.conftest import Case

TEXTS = ["a red cat", "an old house of red cats", "dog"]

Logits = NDArray[np.float64]
# The logits of each token that is asked for, of one image and one text's own tokens.
Alone = Callable[[torch.Tensor, list[int]], Logits]


def surprise(logits: Logits, token: int) -> float:
    """-log softmax at one place, by the definition."""
    largest = max(logits)
    return float(np.log(sum(np.exp(one - largest) for one in logits)) + largest - logits[token])


def make_prefix_trainee(case: Case) -> tuple[CaptionTrainee, Alone]:
    config = ClipGpt2Config.model_validate(case.config, strict=False)
    torch.manual_seed(3)
    parts = begin_parts(config, case.weights["tower"], case.weights["language"])
    model = PrefixTrainee(config, parts)

    def alone(pixels: torch.Tensor, own: list[int]) -> Logits:
        prefix = parts.mapper(parts.tower(pixels))
        known = parts.language.transformer.wte(torch.tensor([own]))
        logits = parts.language(inputs_embeds=torch.cat([prefix, known], dim=1)).logits
        found: Logits = logits[0, prefix.shape[1] - 1 :].double().numpy()
        return found

    return model, alone


def make_blip_trainee(case: Case) -> tuple[CaptionTrainee, Alone]:
    speaker = load_blip(case.weights["model"], device="cpu")
    model = BlipTrainee(BlipConfig.model_validate(case.config, strict=False), speaker)
    prompt = speaker.processor.tokenizer("a photo of", add_special_tokens=False)["input_ids"]
    start = [speaker.model.config.text_config.bos_token_id, *prompt]

    def alone(pixels: torch.Tensor, own: list[int]) -> Logits:
        tokens = torch.tensor([[*start, *own]])
        logits = speaker.model(pixel_values=pixels, input_ids=tokens).logits
        found: Logits = logits[0, len(start) - 1 :].double().numpy()
        return found

    return model, alone


def make_coca_trainee(case: Case) -> tuple[CaptionTrainee, Alone]:
    loaded = load_coca(None, case.weights["architecture"], case.weights["weights"])
    model = CocaTrainee(CocaConfig.model_validate(case.config, strict=False), loaded)

    def alone(pixels: torch.Tensor, own: list[int]) -> Logits:
        tokens = torch.tensor([[loaded.start, *own]])
        said = loaded.model(pixels, tokens, output_labels=False)
        found: Logits = said["logits"][0].double().numpy()
        return found

    return model, alone


MAKERS = {"clip_gpt2": make_prefix_trainee, "blip": make_blip_trainee, "coca": make_coca_trainee}


def framed(model: CaptionTrainee, texts: list[str]) -> torch.Tensor:
    """(n, length) tokens with their frames, by hand."""
    rows = [
        torch.tensor([*model.frame.start, *own, model.frame.end]) for own in model.tokenise(texts)
    ]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PADDING)


def pixels_of(model: CaptionTrainee, count: int) -> torch.Tensor:
    wants = model.preprocess
    torch.manual_seed(5)
    return torch.randn(count, 3, wants.height, wants.width)


def test_a_texts_cost_is_the_librarys_own_models(case: Case) -> None:
    model, alone = MAKERS[case.name](case)
    model.eval()  # type: ignore[attr-defined]  # a torch module
    pixels = pixels_of(model, len(TEXTS))
    with torch.no_grad():
        costs = model(pixels, framed(model, TEXTS)).nll
        for number, own in enumerate(model.tokenise(TEXTS)):
            logits = alone(pixels[number : number + 1], list(own))
            wanted = [*own, model.frame.end]
            naive = sum(surprise(*one) for one in zip(logits, wanted, strict=True))
            assert float(costs[number]) == pytest.approx(naive, rel=1e-5)


def test_padding_costs_nothing_and_teaches_nothing() -> None:
    torch.manual_seed(1)
    logits = torch.randn(2, 4, 7, requires_grad=True)
    tokens = torch.tensor([[3, 1, 6, 2], [5, 0, PADDING, PADDING]])
    costs = token_nll(logits, tokens)
    costs.sum().backward()
    rows = logits.detach().double().numpy()
    for row, cost in zip(range(2), costs.tolist(), strict=True):
        asked = [token for token in tokens[row].tolist() if token != PADDING]
        naive = sum(surprise(rows[row, at], token) for at, token in enumerate(asked))
        assert cost == pytest.approx(naive, rel=1e-6)
    assert logits.grad is not None
    assert logits.grad[1, 2:].abs().max() == 0


def test_a_cocas_loss_is_open_clips(coca: Case) -> None:
    from open_clip.loss import CoCaLoss

    model, _ = make_coca_trainee(coca)
    tokens, pixels = framed(model, TEXTS), pixels_of(model, len(TEXTS))
    padded = np.full((len(TEXTS), 12), 0)
    padded[:, : tokens.shape[1]] = tokens.where(tokens != PADDING, 0).numpy()
    said = model._loaded.model(pixels, torch.from_numpy(padded))  # type: ignore[attr-defined]  # a CocaTrainee
    theirs = CoCaLoss(caption_loss_weight=2.0, clip_loss_weight=1.0)(**said)
    asked = int((tokens != PADDING).sum()) - len(TEXTS)
    aim = TextAim([tokens.numpy()], asked, Loss(tokens=2.0, info_nce=1.0))
    (inputs,) = aim.inputs(0, torch.device("cpu"))
    ours = aim.loss(model(pixels, inputs), 0, lambda rows: rows)
    assert ours.item() == pytest.approx(sum(theirs).item(), rel=1e-5)
    ours.backward()
    moved = {"scale", "tower.conv1.weight", "text.text_projection", "decoder.text_projection"}
    named: dict[str, Any] = dict(model.named_parameters())  # type: ignore[attr-defined]  # a torch module
    assert all(named[name].grad.abs().max() > 0 for name in moved)


def test_what_has_no_weight_gets_no_gradient_at_all(coca: Case) -> None:
    model, _ = make_coca_trainee(coca)
    tokens = framed(model, TEXTS)
    aim = TextAim([tokens.numpy()], 9, Loss(tokens=1.0))
    loss = aim.loss(model(pixels_of(model, 3), tokens), 0, lambda rows: rows)
    named: dict[str, Any] = dict(model.named_parameters())  # type: ignore[attr-defined]  # a torch module
    unused = [named[name] for name in ("scale", "text.text_projection")]
    assert torch.autograd.grad(loss, unused, allow_unused=True) == (None, None)


def everybodys(others: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    return torch.cat([own, others])


def test_parts_and_processes_share_one_mean_over_tokens() -> None:
    costs = torch.tensor([3.0, 5.0, 7.0, 1.0])
    lengths = [1, 4, 2, 3]
    terms = Loss(tokens=0.5)
    tokens = np.zeros((1, 1), np.int64)
    aim = TextAim([tokens, tokens], sum(lengths), terms)
    # Of two processes, this one has the first row of each part.
    shares = [
        aim.loss(CaptionOutput(own[:1]), part, partial(everybodys, own[1:]))
        for part, own in enumerate(costs.reshape(2, 2))
    ]
    assert float(sum(shares)) == pytest.approx(0.5 * float(costs.sum()) / sum(lengths))


def test_a_scale_that_the_recipe_says_replaces_the_learned_one() -> None:
    torch.manual_seed(2)
    images, texts = (torch.nn.functional.normalize(torch.randn(3, 4), dim=1) for _ in range(2))
    said = CaptionOutput(torch.zeros(3), Pairs(images, texts, torch.full((3,), 9.0)))
    aim = {
        scale: TextAim([np.zeros((3, 1), np.int64)], 1, Loss(info_nce=1.0, scale=scale))
        for scale in (None, 9.0, 4.0)
    }
    costs = {scale: float(one.loss(said, 0, lambda rows: rows)) for scale, one in aim.items()}
    assert costs[None] == pytest.approx(costs[9.0])
    assert costs[None] != pytest.approx(costs[4.0], rel=1e-3)

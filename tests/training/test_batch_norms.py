"""Batch norms that see several GPUs' images, and those that remember nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import timm
import torch

from predictors.shared.training.batch_norms import sync_batch_norms, without_tracking

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def processes(number: int, device: str) -> SimpleNamespace:
    return SimpleNamespace(num_processes=number, device=torch.device(device))


@pytest.mark.parametrize("name", ["test_efficientnet.r160_in1k", "test_resnet.r160_in1k"])
def test_norms_that_see_all_gpus_keep_what_the_tower_makes_of_an_image(name: str) -> None:
    tower = timm.create_model(name).eval()
    with torch.no_grad():
        before = tower(IMAGES)
        state = tower.state_dict()
        converted = sync_batch_norms(tower, processes(2, "cuda"))
        assert any(isinstance(one, torch.nn.SyncBatchNorm) for one in converted.modules())
        assert torch.equal(converted(IMAGES), before)
    assert converted.state_dict().keys() == state.keys()


@pytest.mark.parametrize("alone", [processes(1, "cuda"), processes(2, "cpu")])
def test_norms_of_one_gpu_and_of_cpus_stay_as_they_are(alone: SimpleNamespace) -> None:
    tower = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    assert sync_batch_norms(tower, alone) is tower
    assert type(tower[0]) is torch.nn.BatchNorm2d


@pytest.mark.parametrize("name", ["test_efficientnet.r160_in1k", "test_resnet.r160_in1k"])
def test_norms_remember_nothing_of_a_batch_not_even_that_it_was_no_number(name: str) -> None:
    tower = timm.create_model(name).train()
    before = {key: one.clone() for key, one in tower.state_dict().items()}
    with without_tracking(tower), torch.no_grad():
        normalised = tower(IMAGES)
        tower(IMAGES * torch.nan)
    for key, one in tower.state_dict().items():
        assert torch.equal(one, before[key]), key
    assert torch.equal(normalised, tower(IMAGES))  # by the batch's own statistics all the same
    assert any(not torch.equal(one, before[key]) for key, one in tower.state_dict().items())

"""Contrastive methods around a user's own network: trained, saved without its code, read back with it."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from contrafact.core.method import load_run
from contrafact.core.run import Run
from contrafact.data.load import load_dataset
from contrafact.methods.cmc import CMC
from contrafact.methods.contralord import ContraLORD
from contrafact.methods.moco import MoCo
from contrafact.methods.simclr import SimCLR
from contrafact.methods.sub_infomax import SubInfoMax
from contrafact.nn.own_encoder import OwnEncoder


class Mine(nn.Module):
    """Six features, some of them through batch statistics, as users' networks have."""

    def __init__(self, codes=6):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, codes, 3, stride=2), nn.BatchNorm2d(codes), nn.ReLU())

    def forward(self, images):
        return self.body(images).mean(dim=(2, 3))


METHODS = {
    "moco": lambda **given: MoCo(steps=3, batch_size=4, queue_length=8, feature_dim=5, key_groups=2, **given),
    "simclr": lambda **given: SimCLR(steps=3, batch_size=4, feature_dim=5, **given),
    "sub_infomax": lambda **given: SubInfoMax(steps=3, batch_size=4, feature_dim=4, **given),
    "contralord": lambda **given: ContraLORD(
        num_images=12, batch_size=4, encoder_batch_size=4, steps=2, encoder_steps=3, queue_length=8, width=0.1, **given
    ),
}


def mine(codes=6):
    torch.manual_seed(0)
    return Mine(codes)


def run_in(folder, **given):
    return Run(folder, device="cpu", precision="float32", progress=False, log_every=1, **given)


@pytest.mark.filterwarnings("ignore:.*have no label among")
@pytest.mark.parametrize("name", METHODS)
def test_a_module_is_trained_in_a_copy_and_read_back(name, tmp_path):
    dataset = load_dataset("shapes3d", size=16, labels=10 if name == "contralord" else None)
    module = mine()
    before = copy.deepcopy(module.state_dict())
    method = METHODS[name](encoder=module)
    learned = method.fit(dataset, run_in(tmp_path / "run")).encoder
    for key, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[key]), "the user's module must stay as it was"
    trained = [tensor for key, tensor in learned.state_dict().items() if key.endswith("module.body.0.weight")]
    assert len(trained) == 1
    assert not torch.equal(trained[0], before["body.0.weight"])
    images = dataset.batch(np.arange(4))
    torch.manual_seed(1)
    again = load_run(tmp_path / "run", encoder=Mine())  # other weights: the file's replace them
    torch.testing.assert_close(again.encoder(images), learned(images), rtol=0, atol=0)
    assert again.config["hyperparameters"]["encoder"] == {
        "module of your own": "tests.methods.test_own_encoder.Mine",
    }
    with pytest.raises(ValueError, match=r"test_own_encoder\.Mine\), not its code: pass the module.*encoder=\.\.\."):
        _ = load_run(tmp_path / "run").encoder
    with pytest.raises(ValueError, match=r"the weights do not fit"):
        _ = load_run(tmp_path / "run", encoder=Mine(8)).encoder
    kept = method.fit(dataset, run_in(tmp_path / "run", resume=True)).encoder
    torch.testing.assert_close(kept(images), learned(images), rtol=0, atol=0)


def test_the_methods_own_names_still_work_and_others_are_still_refused():
    with pytest.raises(ValueError, match="unknown encoder 'resnet19'; did you mean 'resnet18'"):
        MoCo(encoder="resnet19")
    with pytest.raises(ValueError, match="unknown encoder"):
        CMC(encoder=mine())  # two networks for channels of their own: one module cannot be both
    with pytest.raises(ValueError, match="unknown schedule"):
        MoCo(schedule=mine())


class Pair(nn.Module):
    def forward(self, images):
        return images.mean(dim=(2, 3)), images


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Conv2d(3, 4, 3), r"must take images \(N, 3, 16, 16\) and return codes \(N, D\).*shape \(2, 4, 14, 14\)"),
        (nn.Sequential(nn.Flatten(0), nn.Linear(1536, 4)), r"it returned shape \(4,\)"),
        (Pair(), "it returned a tuple"),
        (nn.Conv2d(1, 4, 3), r"must take images \(N, 3, 16, 16\); given two of them it failed: "),
    ],
)
def test_a_module_that_is_no_encoder_is_refused_before_training(module, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        METHODS["simclr"](encoder=module).fit(load_dataset("shapes3d", size=16), run_in(tmp_path))


def test_a_probe_changes_nothing_and_the_number_of_codes_is_checked():
    module = mine()
    encoder = OwnEncoder(module, (3, 16, 16))
    assert encoder.code_dim == 6
    assert encoder.module.training
    assert torch.equal(encoder.module.body[1].running_mean, torch.zeros(6)), "probing must not move running statistics"
    with pytest.raises(ValueError, match="code_dim is 5, but the encoder given returns 6 codes an image"):
        OwnEncoder(module, (3, 16, 16), 5)

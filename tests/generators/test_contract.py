"""What every generator of the catalogue keeps to."""

import pytest
import torch
from torch import nn

from contrafact.contract.generator import CHECKS, TRUNCATION
from contrafact.core.generator import Generator, architecture
from contrafact.generators import CATALOG, ClassKnob, StyleGAN2, wrap
from contrafact.report.figures import latent_axes


class _Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(5, 4 * 4 * 4)
        self.up = nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.up(self.stem(z).relu().view(-1, 4, 4, 4)).tanh()


def _tiny(name: str) -> Generator:
    torch.manual_seed(0)
    item = CATALOG.get(name)
    generator = item.tiny() if isinstance(item, type) else wrap(_Toy(), 5)
    return generator.freeze()


@pytest.fixture(params=CATALOG.names())
def generator(request):
    return _tiny(request.param)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_promise(check, generator):
    check(generator)


def _style_in_z() -> Generator:
    tiny = StyleGAN2.tiny()
    generator = StyleGAN2(**{**tiny.arguments(), "space": "z", "label": 1})
    generator.load_state_dict(tiny.state_dict())
    with torch.no_grad():
        generator.w_avg.copy_(generator.to_w(torch.randn(256, 8)).mean(dim=0))
    return generator


def _normalised_body() -> Generator:
    return ClassKnob("prog_gan", {"channels": [6, 4]}, noise_dim=3, num_codes=1, class_count=2)


@pytest.fixture(params=[_style_in_z, _normalised_body], ids=lambda p: getattr(p, "__name__", p))
def truncatable(request):
    torch.manual_seed(0)
    return request.param().freeze()


@pytest.mark.parametrize("check", TRUNCATION, ids=lambda check: check.__name__)
def test_it_truncates_as_promised(check, truncatable):
    check(truncatable)


def test_its_latent_axes_have_names(generator):
    if generator.num_classes:
        generator.fix_label(0)
    axes = latent_axes(generator)
    assert len(set(axes.names)) == axes.num_directions
    assert axes(generator.sample(1, seed=0), 0, 1.0).isfinite().all()


def test_architectures_are_found_by_name():
    assert architecture("VAE").__name__ == "VAE"
    with pytest.raises(ValueError, match="no generator architecture"):
        architecture("wrap")
    with pytest.raises(ValueError, match="unknown generator architecture 'vea'; did you mean 'vae'"):
        architecture("vea")


@pytest.mark.parametrize("name", CATALOG.names())
def test_summaries_fit_a_line_of_the_list(name):
    assert 20 < len(CATALOG.summary(name)) <= 90

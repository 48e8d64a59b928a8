"""Translation grids: each cell has its row's residual and its column's factors; runs without parts have no grid."""

import numpy as np
import pytest
import torch

from contrafact.core.method import load_run
from contrafact.core.run import Run
from contrafact.data.load import load_dataset
from contrafact.generators.lord import LORD as Decoder
from contrafact.methods.contralord import ContraLORD
from contrafact.methods.zerodim import ZeroDIM
from contrafact.nn.factor_codes import FactorEncoder
from contrafact.report import translation
from contrafact.report.page import write_report

pytestmark = pytest.mark.filterwarnings("ignore:.*have no label among")


class Means(FactorEncoder):
    """Two factors, the means of the red and green channel; a residual of one number, that of the blue."""

    image_shape, code_dim = (3, 8, 8), 2
    factor_names, factor_dim, residual_dim = ("red", "green"), 1, 1

    def encode(self, images):
        return images.mean(dim=(2, 3))[:, :2]

    def residual(self, images):
        return images.mean(dim=(2, 3))[:, 2:]


class Flat(Decoder):
    """Its images are its latents."""

    def __init__(self):
        super().__init__(3, (3, 8, 8), width=0.1, parts={"red": (0, 1), "green": (1, 2), "residual": (2, 3)})

    def forward(self, latent):
        return latent[:, :, None, None].expand(-1, -1, 8, 8)


def flat(n, seed):
    colors = torch.rand(n, 3, generator=torch.Generator().manual_seed(seed))
    return colors[:, :, None, None].expand(-1, -1, 8, 8)


def test_a_cell_has_its_rows_residual_and_its_columns_factors():
    rows, columns = flat(3, 0), flat(4, 1)
    grid = translation.translations(Means(), Flat(), rows, columns)
    assert grid.shape == (3, 4, 3, 8, 8)
    for r in range(3):
        for q in range(4):
            torch.testing.assert_close(grid[r, q, :2], columns[q, :2])
            torch.testing.assert_close(grid[r, q, 2], rows[r, 2])


def test_the_sources_stand_at_the_edges():
    rows, columns = flat(2, 0), flat(3, 1)
    picture = np.asarray(translation.translation_sheet(Means(), Flat(), rows, columns))

    def has(color):
        return (np.abs(picture.astype(float) - 255 * color.numpy()) < 1).all(axis=2)

    for q in range(3):
        assert has(columns[q, :, 0, 0])[: picture.shape[0] // 3].sum() > 500, "a column's image lies at its top"
    for r in range(2):
        place = np.argwhere(has(rows[r, :, 0, 0]))
        assert place[:, 1].min() < place[:, 1].max() - 96, "a row's image and what its own codes give, side by side"


def test_the_report_of_a_run_with_parts_holds_a_grid(tmp_path):
    dataset = load_dataset("shapes3d", size=16, labels=12)
    method = ContraLORD(
        num_images=20, steps=2, encoder_steps=2, batch_size=4, encoder_batch_size=4, encoder="conv", encoder_width=0.1,
        width=0.1, queue_length=8,
    )  # fmt: skip
    method.fit(dataset, Run(tmp_path / "run", device="cpu", precision="float32", progress=False))
    run = load_run(tmp_path / "run")
    text = write_report(run, dataset, frames=3, samples=1).read_text()
    assert '<section id="translation">' in text
    assert "floor hue, wall hue and object hue of the image at the top of its column" in text
    assert (run.folder / "figures" / "translation.png").stat().st_size > 1000
    assert translation.translation_section(run, (None, None), 0, run.folder) is None
    larger = load_dataset("shapes3d", size=32)
    assert translation.translation_section(run, (None, larger), 0, run.folder) is None


def test_runs_without_a_residual_have_no_grid(tmp_path, finished, finished_codes, finished_encoder, rooms):
    for run in (finished, finished_codes, finished_encoder):
        assert not translation.can_translate(run)
        assert translation.translation_section(run, (rooms,), 0, run.folder) is None
    dataset = load_dataset("shapes3d", size=16, labels=12)
    method = ZeroDIM(
        num_images=20, steps=2, amortization_steps=1, tuning_steps=1, batch_size=4, width=0.1, residual_dim=0
    )
    method.fit(dataset, Run(tmp_path / "run", device="cpu", precision="float32", progress=False))
    assert not translation.can_translate(load_run(tmp_path / "run"))

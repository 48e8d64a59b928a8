"""StyleGAN3 against numbers recorded from the original program (tiny, randomly initialised).

The recordings are of NVlabs/stylegan3 at c233a919 and autonomousvision/stylegan-xl at 4241ff9c, their operations in the
reference form, on the CPU.
"""

import numpy as np
import pytest
import torch
from scipy import signal, special

from contrafact.core.artefact import load_artefact
from contrafact.core.generator import Generator
from contrafact.core.run import Run
from contrafact.generators import StyleGAN3
from contrafact.generators._stylegan3_bands import Band, bands_of, lowpass, radial_lowpass
from contrafact.generators._stylegan3_layers import Downsample, Upsample
from contrafact.generators.checkpoints import changed, convert, describe, load_generator
from contrafact.methods import DisCo, LatentCLR
from tests.generators.kinds.stylegan3 import write, write_state
from tests.generators.recorded import TOLERANCE, Recorded

LAYOUTS = ["t", "r_conditional"]
_SMALL = {"steps": 2, "num_directions": 4, "directions_per_step": 2, "samples_per_direction": 2, "encoder_width": 0.1}


@pytest.fixture(params=LAYOUTS)
def recorded(request):
    return Recorded(f"stylegan3_{request.param}")


@pytest.fixture(scope="module")
def plain():
    return Recorded("stylegan3_t")


def _label(generator, recorded):
    return recorded["label"] if generator.num_classes else None


def test_outputs_equal_the_originals(recorded, tmp_path):
    generator = load_generator(write(recorded, tmp_path))
    assert isinstance(generator, StyleGAN3)
    assert generator.note.get("assumed", {}) == {}
    label = _label(generator, recorded)
    assert torch.allclose(generator.map(recorded["z"], label), recorded["w"], atol=1e-5)

    def close(images, key):
        return float((images - (recorded[key] + 1) / 2).abs().max()) <= TOLERANCE

    assert close(generator(recorded["w"]), "image")
    assert close(generator(generator.map(recorded["z"], label, 0.6)), "truncated")
    assert close(generator(recorded["mixed_w"]), "mixed")
    assert torch.equal(generator.mix(recorded["w"], recorded["w"].roll(1, 0), 3), recorded["mixed_w"])
    # The recordings differ from each other by far more than the tolerance, so each of these was needed.
    assert not close(generator(recorded["w"]), "truncated")
    assert not close(generator(recorded["w"]), "mixed")


def test_gradients_to_the_latent_equal_the_originals(recorded, tmp_path):
    generator = load_generator(write(recorded, tmp_path))
    w = recorded["w"].clone().requires_grad_()
    (2 * generator(w) * recorded["loss_weight"]).sum().backward()
    assert torch.allclose(w.grad, recorded["gradient"], rtol=1e-3, atol=1e-4 * float(recorded["gradient"].abs().max()))


def test_a_transform_set_in_the_file_is_kept(recorded, tmp_path):
    """What a user set in the original's input: turned by 20 degrees, then moved by (0.2, -0.1); stored inversely."""
    turn, move = torch.eye(3), torch.eye(3)
    angle = torch.deg2rad(torch.tensor(20.0))
    turn[:2, :2] = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
    move[:2, 2] = torch.tensor([0.2, -0.1])
    for key, forward in (("moved", move), ("turned", turn), ("turned_moved", move @ turn)):
        state = {**recorded.state, "synthesis.input.transform": torch.linalg.inv(forward)}
        generator = load_generator(write(recorded, tmp_path, state))
        assert float((generator(recorded["w"]) - (recorded[key] + 1) / 2).abs().max()) <= TOLERANCE


def test_its_own_directions_do_what_the_transform_does(recorded, tmp_path):
    """A magnitude of 1 is a tenth of the image's side, or ten degrees; steps taken together turn first."""
    generator = load_generator(write(recorded, tmp_path))
    directions, w = generator.own_directions(), recorded["w"]

    def difference(latent, key):
        return float((generator(latent) - (recorded[key] + 1) / 2).abs().max())

    moved = directions(directions(w, "translate_x", 2.0), "translate_y", -1.0)
    turned = directions(w, "rotate", 2.0)
    assert difference(moved, "moved") <= TOLERANCE
    assert difference(turned, "turned") <= TOLERANCE
    assert (
        difference(directions(directions(turned, "translate_x", 2.0), "translate_y", -1.0), "turned_moved") <= TOLERANCE
    )
    still = w[:, None].expand_as(moved)
    assert difference(still + (moved - still) + (turned - still), "turned_moved") <= TOLERANCE
    assert torch.equal(moved[:, 1:], still[:, 1:])


def test_it_says_why_it_has_no_directions_of_its_own(plain, tmp_path):
    with pytest.raises(ValueError, match="its latents are of Z: leave its space at w"):
        load_generator(write(plain, tmp_path), {"space": "z"}).own_directions()
    with pytest.raises(ValueError, match=r"does not move or turn the image freely.*as where it was not trained"):
        StyleGAN3(16, latent_dim=6, channels=[4] * 4, bands=4).own_directions()
    set_by_hand = {**plain.state, "synthesis.input.transform": torch.eye(3) * torch.tensor([2.0, 2.0, 1.0])}
    with pytest.raises(ValueError, match="has a transform set"):
        load_generator(write(plain, tmp_path, set_by_hand)).own_directions()


def test_conversion_keeps_everything(recorded, tmp_path):
    source, target = write(recorded, tmp_path), tmp_path / "converted.safetensors"
    facts = convert(source, target)
    assert facts["architecture"] == "StyleGAN3"
    assert facts["note"]["read_from"] == "network.pkl"
    before, after = load_generator(source), load_generator(target)
    assert torch.equal(before(recorded["w"]), after(recorded["w"]))
    label = _label(before, recorded)
    assert torch.equal(before.map(recorded["z"], label, 0.3), after.map(recorded["z"], label, 0.3))


def test_description(recorded, tmp_path):
    facts = describe(write(recorded, tmp_path))
    layers = [name for name in facts["layers"] if name != "input"]
    assert facts["num_layers"] == len(layers) + 2 == {"t": 8, "r_conditional": 7}[recorded.name[10:]]
    assert all(f"synthesis.{name}.weight" in recorded.state for name in layers)
    assert facts["spaces"] == ["z", "z+", "w", "w+"]
    assert facts["image_shape"] == {"t": [1, 32, 32], "r_conditional": [3, 16, 16]}[recorded.name[10:]]
    assert facts["num_classes"] == (3 if "conditional" in recorded.name else 0)


def test_stylegan_xl_truncates_to_the_mean_of_a_class(tmp_path):
    recorded = Recorded("stylegan3_xl")
    path = write(recorded, tmp_path)
    generator = load_generator(path)
    means, w = recorded.state["mapping.w_avg"], recorded["w"]
    pulled = generator.map(recorded["z"], recorded["label"], 0.6)
    torch.testing.assert_close(pulled, means[recorded["label"]] + 0.6 * (w - means[recorded["label"]]))
    of_class = load_generator(path, {"label": 2})
    torch.testing.assert_close(of_class.map(recorded["z"][:1], truncation=0.6), pulled[:1])
    torch.testing.assert_close(of_class.truncate(w[:1], 0.6, (0, 1))[:, 0], pulled[:1])
    in_z = load_generator(path, {"label": 2, "space": "z", "truncation": 0.6})
    torch.testing.assert_close(in_z(recorded["z"][:1]), generator(pulled[:1]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(generator.middle(), means.mean(dim=0))
    converted = tmp_path / "converted.safetensors"
    convert(path, converted)
    assert torch.equal(load_generator(converted).map(recorded["z"], recorded["label"], 0.6), pulled)


def test_stylegan_xl_without_classes_leaves_its_embedding_aside(tmp_path):
    recorded = Recorded("stylegan3_xl")
    state = {name: tensor for name, tensor in recorded.state.items() if "embed_proj" not in name}
    state["mapping.w_avg"], state["mapping.fc0.weight"] = torch.zeros(8), state["mapping.fc0.weight"][:, :6]
    generator = load_generator(write(recorded, tmp_path, state))
    assert (generator.num_classes, generator.prior_dim, generator.embedding) == (0, 6, 0)
    assert torch.allclose(generator(recorded["w"]), (recorded["image"] + 1) / 2, atol=TOLERANCE)


@pytest.mark.filterwarnings("ignore:.*does not say all about its network")
def test_a_bare_state_dict_of_stages_asks_for_its_bands(tmp_path):
    recorded = Recorded("stylegan3_xl")
    path = write_state(recorded, tmp_path)
    with pytest.raises(
        ValueError, match=r"sides \[36, 36, 36, 36, 52, 52, 32, 32\], its settings give .*give the bands"
    ):
        load_generator(path)
    bands = load_generator(write(recorded, tmp_path)).arguments()["bands"]
    generator = load_generator(path, {"bands": bands})
    assert torch.allclose(generator(recorded["w"]), (recorded["image"] + 1) / 2, atol=TOLERANCE)


def test_a_state_dict_says_all_but_three_numbers(plain, tmp_path):
    """Its filters prove the bands; clamp, output scale and the mapping network's multiplier leave no trace."""
    with pytest.warns(UserWarning, match="does not say all about its network"):
        generator = load_generator(write_state(plain, tmp_path))
    assert generator.note["assumed"] == {"clamp": 256.0, "mapping_lr": 0.01, "output_scale": 0.25}
    assert torch.allclose(generator(plain["w"]), (plain["image"] + 1) / 2, atol=TOLERANCE)
    bare = {k: v for k, v in plain.state.items() if not k.endswith("_filter")}
    torch.save({f"module.{name}": tensor for name, tensor in bare.items()}, tmp_path / "bare.pt")
    with pytest.warns(UserWarning, match="bands = 6"):
        generator = load_generator(tmp_path / "bare.pt")
    assert set(generator.note["assumed"]) >= {"bands", "critical", "radial", "taps", "oversampling"}
    assert torch.allclose(generator(plain["w"]), (plain["image"] + 1) / 2, atol=TOLERANCE)


@pytest.mark.filterwarnings("ignore:.*does not say all about its network")
def test_other_bands_are_told(plain, tmp_path):
    """Filters and sides that do not follow from the settings are refused, and the settings may be given."""
    other = StyleGAN3(32, channels=[8] * 6, bands=[list(band) for band in bands_of(32, 6, last_stopband=1.5)])
    names = [name.removesuffix(".magnitude_ema") for name in plain.state if name.endswith(".magnitude_ema")]
    filters = {
        f"{name}.{way}_filter": torch.from_numpy(getattr(layer, f"{way}_filter")).float()
        for name, layer in zip(names, other.layers, strict=False)
        for way in ("up", "down")
    }
    torch.save({**plain.state, **filters}, tmp_path / "state.pt")
    with pytest.raises(ValueError, match=r"sampling filter of the StyleGAN3 checkpoint's layer L4_52_6 is not the one"):
        load_generator(tmp_path / "state.pt")
    given = [list(band) for band in other.bands]
    assert load_generator(tmp_path / "state.pt", {"bands": given}).arguments()["bands"] == given
    renamed = {name.replace("L3_52", "L3_54"): tensor for name, tensor in plain.state.items()}
    torch.save(renamed, tmp_path / "renamed.pt")
    with pytest.raises(ValueError, match=r"sides \[36, 36, 52, 54, 52, 32, 32\], its settings give \[36, 36, 52, 52"):
        load_generator(tmp_path / "renamed.pt")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("synthesis.L1_36_8.affine.bias", "lacks 'synthesis.L1_36_8.affine.bias'"),
        ("synthesis.input.freqs", "lacks 'synthesis.input.freqs'"),
        ("synthesis.L2_52_8.weight", "lacks 'synthesis.L2_52_8.weight'"),
        ("synthesis.L2_52_8.", "lacks layers: it has L0_36_8, L1_36_8, L3_52_8"),
        ("mapping.fc1.bias", "lacks 'mapping.fc1.bias'"),
    ],
)
def test_missing_keys_are_named(plain, tmp_path, key, message):
    with pytest.raises(ValueError, match=message):
        load_generator(write(plain, tmp_path, {k: v for k, v in plain.state.items() if not k.startswith(key)}))


def test_shapes_of_another_size_are_refused(plain, tmp_path):
    state = {**plain.state, "synthesis.L3_52_8.weight": torch.zeros(8, 9, 3, 3)}
    with pytest.raises(ValueError, match="the StyleGAN3 checkpoint's shapes do not fit together"):
        load_generator(write(plain, tmp_path, state))


def test_a_file_without_the_mean_of_w_gets_it_estimated(plain, tmp_path):
    state = {k: v for k, v in plain.state.items() if k != "mapping.w_avg"}
    generator = load_generator(write(plain, tmp_path, state))
    assert generator.note["w_avg"] == "estimated: the file holds none"
    w = generator.to_w(torch.randn(4000, 7, generator=torch.Generator().manual_seed(1)))
    assert torch.allclose(generator.w_avg, w.mean(dim=0), atol=0.1 * float(w.std()))


def test_the_z_space_maps_inside(plain, tmp_path):
    path = write(plain, tmp_path)
    in_w, in_z = load_generator(path), load_generator(path, {"space": "z"})
    assert (in_z.latent_dim, in_z.space) == (7, "z")
    assert torch.allclose(in_z(plain["z"]), in_w(in_w.map(plain["z"])), atol=1e-6)


BANDS = [Band(36, 16, 2.0, 6.0), Band(84, 64, 16.0, 16.0), Band(148, 128, 45.0, 19.0)]


@pytest.mark.parametrize("band", BANDS)
def test_filters_are_windowed_sincs_and_jincs(band):
    rate = 2 * band.rate
    theirs = signal.firwin(12, band.cutoff, width=2 * band.half_width, fs=rate)
    assert np.allclose(lowpass(12, band, rate), theirs, atol=1e-12)
    plane = radial_lowpass(12, band, rate)
    window = signal.windows.kaiser(12, signal.kaiser_beta(signal.kaiser_atten(12, 2 * band.half_width / (rate / 2))))
    expected = np.zeros((12, 12))
    for i in range(12):
        for j in range(12):
            radius = np.hypot(i - 5.5, j - 5.5) / rate
            expected[i, j] = window[i] * window[j] * special.j1(2 * np.pi * band.cutoff * radius) / radius
    assert np.allclose(plane, expected / expected.sum(), atol=1e-12)
    assert plane.sum() == pytest.approx(1)


def _filtered(line, x, outputs, up=1, down=1, offset=0):
    """Both axes of ``x (N, S, S, C)``, by a matrix written tap by tap."""
    matrix = np.zeros((outputs, x.shape[1]))
    for i in range(outputs):
        for j in range(x.shape[1]):
            if 0 <= (tap := up * j + offset - down * i) < len(line):
                matrix[i, j] = line[tap]
    return np.einsum("ij,kl,njlc->ncik", matrix, matrix, x, optimize=True)


@pytest.mark.parametrize(
    ("up", "offset", "inputs", "outputs"), [(2, 9, 9, 26), (4, -3, 10, 31), (1, 2, 8, 7), (2, 12, 9, 16)]
)
def test_upsampling_is_what_it_says_it_is(up, offset, inputs, outputs):
    rng = np.random.default_rng(0)
    taps, x = rng.normal(size=12), rng.normal(size=(2, inputs, inputs, 3))
    upsample = Upsample(taps, up, offset, inputs, outputs)
    made = upsample.unfold(upsample(torch.from_numpy(x).float().permute(0, 3, 1, 2)))
    assert outputs <= made.shape[2] == made.shape[3] < outputs + up
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert np.allclose(made[:, :, :outputs, :outputs], _filtered(taps, x, outputs, up=up, offset=offset), atol=1e-4)


def test_downsampling_is_what_it_says_it_is():
    rng = np.random.default_rng(0)
    taps, x = rng.normal(size=6), rng.normal(size=(2, 18, 18, 3))
    x_NCHW = torch.from_numpy(x).float().permute(0, 3, 1, 2)
    expected = _filtered(taps, x, 6, down=2)
    assert np.allclose(Downsample(taps, 2, 6)(x_NCHW), expected, atol=1e-4)
    assert np.allclose(Downsample(np.outer(taps, taps), 2, 6)(x_NCHW), expected, atol=1e-4)


def test_published_settings():
    """The sides and channels in the names of the published networks' layers."""
    with torch.device("meta"):
        t, r = StyleGAN3(1024), StyleGAN3(1024, channels="config-r")
    assert t.layer_names[1:] == (
        *("L0_36_512", "L1_36_512", "L2_52_512", "L3_52_512", "L4_84_512", "L5_148_512", "L6_148_512", "L7_276_323"),
        *("L8_276_203", "L9_532_128", "L10_1044_81", "L11_1044_51", "L12_1044_32", "L13_1024_32"),
    )
    assert r.layer_names[-6:] == (
        "L8_276_406",
        "L9_532_256",
        "L10_1044_161",
        "L11_1044_102",
        "L12_1044_64",
        "L13_1024_64",
    )
    assert (t.kernel, t.radial, r.kernel, r.radial) == (3, False, 1, True)
    assert (t.num_layers, r.num_layers) == (16, 16)
    mapping = 2 * (512 * 512 + 512)
    assert sum(p.numel() for p in t.mapping.parameters()) == mapping


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": "config-s"}, "unknown StyleGAN3 setting 'config-s'; did you mean 'config-"),
        ({"size": 48}, "8, 16, 32, … pixels, got size 48"),
        ({"channels": [4, 4]}, "channels must list a count for each of the 4 layers"),
        ({"bands": 2}, "needs more layers than the 2 critical ones, got 2"),
        ({"bands": [[16, 16, 2.0]]}, "bands are a number of layers, or"),
        ({"bands": [[36, 16, 2.0, 6.0], [32, 16, 8.0, 6.0]]}, "bands are a number of layers, or"),
        ({"kernel": 5}, "kernels have side 3 or 1, got 5"),
        ({"clamp": 0}, "clamp must be a positive number"),
        ({"taps": 400}, "small multiples of each other"),
        ({"embedding": 5}, "say how many classes there are"),
        ({"classes": 3, "space": "z"}, "Z space of a conditional StyleGAN3 needs its class fixed"),
    ],
)
def test_bad_arguments(changes, message):
    arguments = {"size": 16, "latent_dim": 6, "channels": [4] * 4, "bands": 4, **changes}
    with pytest.raises(ValueError, match=message):
        StyleGAN3(**arguments)


def test_training_reaches_every_weight():
    generator = StyleGAN3.tiny().train().requires_grad_(True)
    generator(generator.map(torch.randn(4, 8), torch.arange(4) % 3)).square().sum().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().sum() > 0, name


def test_files_written_in_half_precision_load(tmp_path):
    from contrafact.core.artefact import save_artefact

    generator, path = StyleGAN3.tiny().freeze(), tmp_path / "half.safetensors"
    save_artefact(generator, path, dtype=torch.float16)
    latent = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(load_artefact(path, Generator)(latent), generator(latent), atol=2e-2)


def test_half_precision_begins_behind_the_input(plain, tmp_path):
    generator = load_generator(write(plain, tmp_path))
    w = plain["w"].clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        images, waves = generator(w), generator.features(w, "input")
        assert generator.features(w, "L1_36_8").dtype == torch.bfloat16
    assert torch.equal(waves, generator.features(w, "input"))
    assert images.dtype == torch.float32
    # bfloat16 has 8 binary digits, of which seven layers one after the other lose some.
    difference = images.detach() - (plain["image"] + 1) / 2
    assert float(difference.abs().max()) < 0.1 * float(plain["image"].std())
    images.square().sum().backward()
    assert torch.isfinite(w.grad).all()


@pytest.mark.parametrize(
    "method",
    [LatentCLR(num_directions=2, steps=2, batch_size=2, layer="L1_20_6"), DisCo.preset("quick").changed(**_SMALL)],
    ids=["latentclr", "disco"],
)
def test_methods_that_need_its_gradients_train_on_it(method, tmp_path):
    generator = changed(StyleGAN3.tiny(), {"label": 1})
    run = method.fit(generator, Run(tmp_path / "run", seed=0, device="cpu", precision="float32", progress=False))
    assert all(torch.isfinite(p).all() for p in run.directions.parameters())
    assert run.log

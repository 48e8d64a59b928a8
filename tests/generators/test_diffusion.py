"""Pipelines of diffusers as generators: step for step what the library's own programs give, and what is refused."""

import json
import sys

import numpy as np
import pytest
import torch

import contrafact as cf
from contrafact.contract.generator import CHECKS
from contrafact.core import progress
from contrafact.core.artefact import load_artefact, save_artefact
from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import Generator, sample_latents
from contrafact.generators import AutoencoderKL, Diffusion

diffusers = pytest.importorskip("diffusers")

STEPS = 4
SCHEDULERS = {
    "ddim": lambda: diffusers.DDIMScheduler(),
    "pndm": lambda: diffusers.PNDMScheduler(skip_prk_steps=True),
    "euler": lambda: diffusers.EulerDiscreteScheduler(),
    "heun": lambda: diffusers.HeunDiscreteScheduler(),
    "dpm": lambda: diffusers.DPMSolverMultistepScheduler(),
    "unipc": lambda: diffusers.UniPCMultistepScheduler(),
    "lms": lambda: diffusers.LMSDiscreteScheduler(),
    "deis": lambda: diffusers.DEISMultistepScheduler(),
}


def pixel_unet(**changes):
    torch.manual_seed(0)
    return diffusers.UNet2DModel(**{
        "sample_size": 16, "in_channels": 3, "out_channels": 3, "layers_per_block": 1, "norm_num_groups": 4,
        "block_out_channels": (8, 16), "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"), "attention_head_dim": 8, **changes,
    })  # fmt: skip


def text_unet(**changes):
    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(**{
        "sample_size": 8, "in_channels": 4, "out_channels": 4, "layers_per_block": 1, "norm_num_groups": 4,
        "block_out_channels": (8, 16), "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "attention_head_dim": 4, "cross_attention_dim": 12,
        **changes,
    })  # fmt: skip


def small_vae():
    torch.manual_seed(1)
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4, sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A DDIM pipeline as it is saved."""
    pipeline = diffusers.DDIMPipeline(pixel_unet(), diffusers.DDIMScheduler())
    pipeline.save_pretrained(tmp_path / "ddim")
    return tmp_path / "ddim"


def part(module):
    config = {k: v for k, v in dict(module.config).items() if not k.startswith("_")}
    return {"class": type(module).__name__, "config": json.loads(json.dumps(config))}


def text_generator(unet=None, vae=True, pooled=None, scheduler=None, **changes):
    """A text-conditioned generator whose embeddings are drawn, as no text encoder is needed for them."""
    unet, scheduler = unet or text_unet(), scheduler or diffusers.DDIMScheduler()
    solver = {"class": type(scheduler).__name__, "config": part(scheduler)["config"]}
    generator = Diffusion(
        part(unet), solver, part(small_vae()) if vae else None, (5, unet.config.cross_attention_dim), pooled,
        **{"steps": STEPS, **changes},
    )  # fmt: skip
    generator.denoiser.load_state_dict(unet.state_dict())
    if vae:
        generator.vae.load_state_dict(small_vae().state_dict())
    rng = torch.Generator().manual_seed(2)
    for name, buffer in generator.named_buffers():
        if name.startswith(("told", "empty")):
            buffer.copy_(torch.randn(buffer.shape, generator=rng))
    return generator.freeze()


def by_the_library(generator, noise, edits=None):
    """Rombach et al.'s sampling with guidance, through the library's own networks and a scheduler of its own."""
    scheduler = getattr(diffusers, generator._parts["solver"]["class"]).from_config(
        generator._parts["solver"]["config"]
    )
    scheduler.set_timesteps(STEPS)
    x = noise * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, t)

        def said(tokens, seen=seen, t=t):
            return generator.denoiser(seen, t, encoder_hidden_states=tokens.expand(len(seen), -1, -1)).sample

        told, empty = generator.told_TD, generator.empty_TD
        e = said(told) if generator.guidance == 1 else said(empty) + generator.guidance * (said(told) - said(empty))
        if edits is not None:
            moved = torch.cat([empty[:1].expand(len(edits), 1, -1), empty[1:] + generator.unit * edits[:, None]], dim=1)
            e = e + max(1.0, generator.guidance) * (said(moved) - said(empty))
        x = scheduler.step(e, t, x).prev_sample
    return generator.vae.decode(x / generator.vae.config.scaling_factor).sample / 2 + 0.5


@pytest.mark.parametrize("name", SCHEDULERS)
def test_an_unconditional_pipeline_step_for_step(name, tmp_path):
    pipeline = diffusers.DDIMPipeline(pixel_unet(), diffusers.DDIMScheduler())
    pipeline.save_pretrained(tmp_path / "p")
    scheduler = SCHEDULERS[name]()
    scheduler.save_pretrained(tmp_path / "p" / "scheduler")
    generator = cf.load_generator(tmp_path / "p", {"steps": STEPS})
    latent = generator.sample(2, seed=3)
    scheduler.set_timesteps(STEPS)
    x = latent[:, :768].view(2, 3, 16, 16) * scheduler.init_noise_sigma
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(pipeline.unet(scheduler.scale_model_input(x, t), t).sample, t, x).prev_sample
    assert generator.num_layers == len(scheduler.timesteps)
    assert torch.allclose(generator(latent), x / 2 + 0.5, atol=1e-5)


def test_the_librarys_own_pipeline_by_the_same_seed(folder):
    pipeline = diffusers.DDIMPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(2, generator=torch.Generator().manual_seed(3), num_inference_steps=STEPS, output_type="np").images
    generator = cf.load_generator(folder, {"steps": STEPS})
    images = generator(generator.sample(2, seed=3)).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(images, made, atol=1e-5)


def vector_quantiser():
    torch.manual_seed(1)
    return diffusers.VQModel(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=3, num_vq_embeddings=16, scaling_factor=0.5,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip


def test_latent_diffusion_over_vector_quantised_images(tmp_path):
    """The pipeline of Rombach et al. without a text, whose decoder takes the nearest entries of its codebook."""
    pipeline = diffusers.LDMPipeline(vector_quantiser(), pixel_unet(sample_size=8), diffusers.DDIMScheduler())
    pipeline.save_pretrained(tmp_path / "ldm")
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(2, generator=torch.Generator().manual_seed(3), num_inference_steps=STEPS, output_type="np").images
    generator = cf.load_generator(tmp_path / "ldm", {"steps": STEPS})
    assert generator.image_shape == (3, 16, 16)
    latent = generator.sample(2, seed=3)
    assert latent[:, :192].equal(torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3)).flatten(1))
    np.testing.assert_allclose(generator(latent).clamp(0, 1).permute(0, 2, 3, 1).numpy(), made, atol=1e-5)
    latent.requires_grad_()
    generator(latent).square().sum().backward()  # past the rounding to entries, as where it was trained
    assert latent.grad[:, 192:].abs().max() > 0
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    back = generator.noise_of(0.5 * generator.vae.encode(2 * images - 1).latents)
    assert torch.allclose(generator.image_latents(images)[:, :192], back.flatten(1), atol=1e-6)


def class_folder(path, **changes):
    """A denoiser of five classes as it is saved."""
    pipeline = diffusers.DDIMPipeline(pixel_unet(num_class_embeds=5), diffusers.DDIMScheduler(**changes))
    pipeline.save_pretrained(path)
    return path, pipeline.unet


def of_classes(unet, noise, classes):
    scheduler = diffusers.DDIMScheduler()
    scheduler.set_timesteps(STEPS)
    x = noise
    for t in scheduler.timesteps:
        x = scheduler.step(unet(x, t, class_labels=classes).sample, t, x).prev_sample
    return x / 2 + 0.5


@pytest.mark.parametrize("space", ["h", "noise"])
def test_a_denoiser_that_is_told_a_class(space, tmp_path):
    folder, unet = class_folder(tmp_path / "p")
    generator = cf.load_generator(folder, {"steps": STEPS, "space": space})
    classes = torch.tensor([4, 0, 2])
    latent = generator.sample(3, seed=3, label=classes)
    noise = latent[:, :768].view(3, 3, 16, 16)
    assert generator.num_classes == 5
    assert generator.edit_columns == ((0, 768) if space == "noise" else (773, generator.latent_dim))
    with torch.no_grad():
        expected = of_classes(unet, noise, classes)
        assert torch.allclose(generator(latent), expected, atol=1e-5)
        fixed = cf.load_generator(folder, {"steps": STEPS, "space": space, "label": 2})
        assert (fixed.num_classes, fixed.latent_dim) == (0, generator.latent_dim - 5)
        alone = fixed.sample(3, seed=3)
        assert torch.equal(alone[:, :768], latent[:, :768])  # the same noise, whether the class is open or not
        assert torch.allclose(fixed(alone)[2], expected[2], atol=1e-5)
        assert not torch.allclose(fixed(alone)[:2], expected[:2], atol=1e-3)
        half_way = generator.latent_between(latent[:1], latent[1:2], 0.75)
        assert half_way[:, 768:773].argmax().item() == 0  # the nearer end's class


def test_an_edit_leaves_the_class_as_it_is(tmp_path):
    folder, unet = class_folder(tmp_path / "p")
    generator = cf.load_generator(folder, {"steps": STEPS})
    run = cf.methods.Random(num_directions=2).fit(generator, tmp_path / "run")
    latent = sample_latents(generator, 2, torch.Generator().manual_seed(0))
    moved = run.directions(latent, 0, 5.0)
    assert torch.equal(moved[:, :773], latent[:, :773])
    shift = (moved[:, 773:].view(2, 16, 8, 8) * generator.unit).detach()
    handle = unet.mid_block.register_forward_hook(lambda _m, _i, out: out + shift)
    with torch.no_grad():
        expected = of_classes(unet, latent[:, :768].view(2, 3, 16, 16), latent[:, 768:773].argmax(dim=1))
    handle.remove()
    assert torch.allclose(generator(moved), expected, atol=1e-5)
    again = cf.load_run(tmp_path / "run").generator
    assert torch.equal(again(latent), generator(latent))
    assert again.num_classes == 5


def test_what_needs_a_class_where_none_is_fixed(tmp_path):
    folder, _ = class_folder(tmp_path / "p", clip_sample=False)
    generator = cf.load_generator(folder, {"steps": 2})
    images = torch.rand(1, 3, 16, 16)
    with pytest.raises(ValueError, match=r"is told one of 5 classes, and here none is given; fix one.*--of-class 0"):
        generator.image_latents(images)
    with pytest.raises(ValueError, match="is told one of 5 classes, and here none is given"):
        generator.effect(images, 0, torch.zeros(1, generator.edit_dim))
    assert cf.load_generator(folder, {"steps": 2, "label": 1}).image_latents(images).isfinite().all()
    with pytest.raises(ValueError, match="label must be a class from 0 to 4, got 5"):
        cf.load_generator(folder, {"label": 5})


def test_measuring_a_pipeline_shows_how_far_it_is(folder):
    seen = []
    with progress.watched(lambda what, done, total: seen.append((what, done, total))):
        cf.load_generator(folder, {"steps": STEPS})
    assert seen[-1] == ("measuring h", 24, 24)
    assert len(seen) == 3  # after each step of the eight paths


@pytest.mark.parametrize("guidance", [1.0, 6.0])
@pytest.mark.parametrize("name", ["ddim", "euler", "pndm", "heun"])
def test_a_text_and_a_vae_step_for_step(guidance, name):
    generator = text_generator(guidance=guidance, scheduler=SCHEDULERS[name]()).double()  # guidance multiplies rounding
    latent = generator.sample(2, seed=0).double()
    with torch.no_grad():
        expected = by_the_library(generator, latent[:, :256].view(2, 4, 8, 8))
    assert torch.allclose(generator(latent), expected, atol=1e-9)


@pytest.mark.parametrize("guidance", [1.0, 6.0])
def test_a_shifted_prompt_adds_the_difference_that_it_makes(guidance):
    generator = text_generator(guidance=guidance, space="prompt")
    generator.measure(torch.Generator())
    generator.double()
    latent = generator.sample(2, seed=0).double()
    edits = torch.randn(2, 12).double()
    moved = latent.clone()
    moved[:, 256:] = edits
    noise = latent[:, :256].view(2, 4, 8, 8)
    with torch.no_grad():
        assert torch.allclose(generator(moved), by_the_library(generator, noise, edits), atol=1e-9)
        assert torch.allclose(generator(latent), by_the_library(generator, noise), atol=1e-9)  # no shift: as it was
        assert not torch.allclose(generator(moved), generator(latent), atol=1e-3)
        x = torch.randn(2, 4, 8, 8).double()
        empty = generator.empty_TD.expand(2, -1, -1)
        shifted = torch.cat([empty[:, :1], empty[:, 1:] + generator.unit * edits[:, None]], dim=1)
        t = generator.solver().timesteps[1]
        said = [generator.denoiser(x, t, encoder_hidden_states=text).sample for text in (shifted, empty)]
        assert torch.allclose(generator.effect(x, 1, edits), said[0] - said[1], atol=1e-9)


def test_a_pooled_text_of_stable_diffusion_xl():
    unet = text_unet(
        addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=6 + 24
    )
    generator = text_generator(unet, pooled=6, guidance=3.0)
    x, t = torch.randn(2, 4, 8, 8), generator.solver().timesteps[0]

    def said(name):
        more = {"text_embeds": getattr(generator, f"{name}_P").expand(2, -1)}
        more["time_ids"] = torch.tensor([[16.0, 16, 0, 0, 16, 16]]).expand(2, -1)
        tokens = getattr(generator, f"{name}_TD").expand(2, -1, -1)
        return unet(x, t, encoder_hidden_states=tokens, added_cond_kwargs=more).sample

    with torch.no_grad():
        expected = said("empty") + 3.0 * (said("told") - said("empty"))
        assert torch.allclose(generator.ask(x, 0, None), expected, atol=1e-5)


def test_h_is_shifted_in_every_pass_of_every_step():
    generator = text_generator(guidance=6.0).double()  # guidance multiplies rounding
    assert generator.space == "h"
    latent = generator.sample(2, seed=0).double()
    edit = torch.randn(2, generator.edit_dim).double()
    shift = (edit.view(2, 16, 4, 4) * generator.unit).repeat(2, 1, 1, 1)
    handle = generator.denoiser.mid_block.register_forward_hook(lambda _m, _i, out: out + shift[: len(out)])
    noise = latent[:, :256].view(2, 4, 8, 8)
    with torch.no_grad():
        expected = by_the_library(generator, noise)
        handle.remove()
        moved = latent + torch.nn.functional.pad(edit, (256, 0))
        assert torch.allclose(generator(moved), expected, atol=1e-9)
        assert torch.allclose(generator(latent), by_the_library(generator, noise), atol=1e-9)


def test_an_edit_of_some_steps(folder):
    generator = cf.load_generator(folder, {"steps": STEPS})
    latent = generator.sample(1, seed=0)
    edits = torch.randn(2, generator.edit_dim)
    whole, early, late = (
        GlobalDirections.of(edits, 5.0, layers=layers, num_layers=STEPS, columns=generator.edit_columns)
        for layers in (None, (0, 2), (2, 4))
    )
    with torch.no_grad():
        images = [generator(directions(latent, 1, 3.0)) for directions in (whole, early, late)]
        both = late(early(latent, 1, 3.0), 1, 3.0)
        assert torch.allclose(generator(both), images[0], atol=1e-5)
        assert all((image - generator(latent)).abs().max() > 1e-4 for image in images)


@pytest.mark.parametrize("make", [text_generator, lambda **c: text_generator(space="prompt", **c)])
def test_checkpointed_gradients_are_the_same(make):
    pair = [make(checkpointed=checkpointed, scheduler=SCHEDULERS["dpm"]()) for checkpointed in (False, True)]
    latents = [pair[0].sample(2, seed=0).requires_grad_() for _ in pair]
    for generator, latent in zip(pair, latents, strict=True):
        generator(latent).square().sum().backward()
    assert latents[0].grad[:, 256:].abs().max() > 0
    layers = [g.features(latent, "up0") for g, latent in zip(pair, latents, strict=True)]
    of_layers = [torch.autograd.grad(f.square().sum(), z)[0] for f, z in zip(layers, latents, strict=True)]
    assert torch.allclose(of_layers[0], of_layers[1], rtol=1e-3, atol=1e-5)
    assert torch.allclose(latents[0].grad, latents[1].grad, rtol=1e-3, atol=1e-5)


KINDS = {
    "text": text_generator,
    "prompt": lambda: text_generator(space="prompt", guidance=3.0),
    "noise": lambda: text_generator(space="noise"),
    "vae": lambda: AutoencoderKL.tiny().freeze(),
    "classes": lambda: of_five_classes(),
    "a class": lambda: of_five_classes(label=3),
    "classes, noise": lambda: of_five_classes(space="noise"),
}


def of_five_classes(**changes):
    solver = {"class": "DDIMScheduler", "config": {}}
    unet = pixel_unet(num_class_embeds=5)
    generator = Diffusion(part(unet), solver, steps=2, **changes)
    generator.denoiser.load_state_dict(unet.state_dict())
    return generator.freeze()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "check",
    [c for c in CHECKS if c.__name__ not in ("knows_its_latents_spread", "truncates_more_than_edits")],
    ids=lambda c: c.__name__,
)
def test_it_keeps_the_promise_of_a_generator(check, kind):
    torch.manual_seed(0)
    check(KINDS[kind]())


def test_a_run_holds_the_pipeline_whole(folder, tmp_path):
    generator = cf.load_generator(folder, {"steps": STEPS, "scheduler": "euler"})
    cf.methods.Random(num_directions=3).fit(generator, tmp_path / "run")
    run = cf.load_run(tmp_path / "run")
    latent = run.generator.sample(2, seed=0)
    assert torch.allclose(run.generator(latent), generator(latent), atol=1e-6)
    assert run.generator.arguments()["scheduler"] == "euler"
    assert run.generator.arguments()["steps"] == STEPS
    assert torch.equal(run.directions(latent, 0, 1.0)[:, :768], latent[:, :768])


METHODS = [
    cf.methods.GANSpace(num_directions=2, num_samples=32, batch_size=16),
    cf.methods.DeepSpectral(num_directions=2, num_latents=2, batch_size=2, steps=1, extra_columns=1),
    cf.methods.LatentCLR.preset("quick", num_directions=2, steps=1, batch_size=2),
    cf.methods.LatentDiscovery.preset("quick", num_directions=2, steps=1, batch_size=2),
    cf.methods.DisCo.preset("quick", steps=1),
    cf.methods.Random(num_directions=2),
    cf.methods.NoiseCLR.preset("quick", num_directions=3, steps=1, batch_size=2),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name())
def test_methods_find_directions_of_h(method, tmp_path):
    torch.manual_seed(0)
    generator = Diffusion.tiny().freeze()
    run = method.fit(generator, tmp_path / "run")
    assert run.directions.columns == generator.edit_columns
    latent = generator.sample(1, seed=0)
    assert not torch.equal(generator(run.directions(latent, 0, 3.0)), generator(latent))


def test_interfacegan_over_h(tmp_path):
    torch.manual_seed(0)
    (tmp_path / "judge.py").write_text(
        "def red(images):\n    return images[:, 0].mean(dim=(1, 2))\n\nred.names = ['red']\n"
    )
    method = cf.methods.InterFaceGAN(predictor=f"{tmp_path / 'judge.py'}:red", num_latents=80, chosen=0.25)
    run = method.fit(Diffusion.tiny().freeze(), tmp_path / "run")
    assert run.directions.names == ["red"]


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", ["ddim", "euler", "flow_euler"])
def test_a_path_can_be_gone_back(name, kind):
    """Where the network changes slowly, the noise itself is found again."""
    scheduler = {
        "ddim": lambda: diffusers.DDIMScheduler(clip_sample=False, prediction_type=kind),
        "euler": lambda: diffusers.EulerDiscreteScheduler(prediction_type=kind),
        "flow_euler": lambda: diffusers.FlowMatchEulerDiscreteScheduler(),
    }[name]()
    solver = {"class": type(scheduler).__name__, "config": part(scheduler)["config"]}
    generator = Diffusion(part(pixel_unet()), solver, steps=6, space="noise")
    generator.denoiser.load_state_dict(pixel_unet().state_dict())
    with torch.no_grad():
        for weights in generator.denoiser.conv_out.parameters():
            weights *= 0.02
    latent = generator.freeze().sample(2, seed=1)
    images = generator(latent)
    rough = (generator.image_latents(images, rounds=1) - latent).square().mean()
    fine = (generator.image_latents(images, rounds=12) - latent).square().mean()
    assert float(fine) < 1e-3
    assert fine <= rough


def test_a_vaes_latents_of_images_are_its_encoders():
    generator = AutoencoderKL.tiny().freeze()
    images = torch.rand(2, 3, 16, 16)
    mean = generator.vae.encode(2 * images - 1).latent_dist.mean * generator.vae.config.scaling_factor
    assert torch.allclose(generator.image_latents(images), mean.flatten(1), atol=1e-6)


def test_a_vaes_folder_is_a_generator(tmp_path):
    vae = small_vae()
    vae.save_pretrained(tmp_path / "vae")
    generator = cf.load_generator(tmp_path / "vae")
    latent = generator.sample(2, seed=0)
    expected = vae.decode(latent.view(2, 4, 8, 8) / vae.config.scaling_factor).sample / 2 + 0.5
    assert torch.allclose(generator(latent), expected, atol=1e-5)


def test_shards_and_half_precision_are_read(folder):
    from safetensors.torch import load_file, save_file

    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors, latent = load_file(file), None
    before = cf.load_generator(folder, {"steps": 2, "space": "noise"})
    names = sorted(tensors)
    file.unlink()
    for number, part_names in enumerate((names[:9], names[9:]), start=1):
        save_file({n: tensors[n] for n in part_names}, file.with_name(f"{file.stem}-0000{number}-of-00002.safetensors"))
    again = cf.load_generator(folder, {"steps": 2, "space": "noise"})
    latent = before.sample(2, seed=0)
    assert torch.equal(again(latent), before(latent))
    for shard in file.parent.glob("*-of-*"):
        shard.unlink()
    save_file({n: t.half() for n, t in tensors.items()}, file.with_name(f"{file.stem}.fp16.safetensors"))
    assert torch.allclose(cf.load_generator(folder, {"steps": 2, "space": "noise"})(latent), before(latent), atol=2e-2)


def test_a_file_holds_it(tmp_path):
    generator = text_generator(guidance=2.0, space="prompt", prompt="a cat")
    save_artefact(generator, tmp_path / "g.safetensors")
    again = load_artefact(tmp_path / "g.safetensors", Generator).freeze()
    latent = generator.sample(1, seed=0)
    assert torch.equal(again(latent), generator(latent))
    assert again.arguments()["prompt"] == "a cat"


# -- what is refused --------------------------------------------------------------------------------------------------


def test_a_folder_without_safetensors(folder):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_suffix(".bin"))
    with pytest.raises(
        ValueError, match=r"holds no safetensors.*\.bin can run programs when they are read.*safe_serial"
    ):
        cf.load_generator(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unet": ["my_unet", "MyUNet"]}, r"asks for my_unet\.MyUNet as its unet, a program that the folder brings"),
        ({"_class_name": ["pipeline", "Mine"]}, r"which is a program of its own \(pipeline\).*never run"),
        ({"_class_name": "AudioPipeline"}, "is a pipeline AudioPipeline; known: DDPMPipeline"),
        ({"unet": [None, None]}, "has no unet; it lists scheduler"),
    ],
)
def test_programs_in_a_folder_are_never_run(change, message, folder):
    (folder / "my_unet.py").write_text("raise SystemExit('it ran')\n")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, **change}))
    with pytest.raises(ValueError, match=message):
        cf.load_generator(folder)


@pytest.mark.parametrize(
    "scheduler",
    [
        lambda: diffusers.DDPMScheduler(),
        lambda: diffusers.EulerAncestralDiscreteScheduler(),
        lambda: diffusers.DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++"),
    ],
)
def test_a_scheduler_that_is_not_deterministic(scheduler, folder):
    scheduler().save_pretrained(folder / "scheduler")
    with pytest.raises(ValueError, match=r"is not deterministic here.*--set scheduler=ddim"):
        cf.load_generator(folder)
    if type(scheduler()).__name__ != "DPMSolverMultistepScheduler":
        assert cf.load_generator(folder, {"scheduler": "ddim", "steps": 2}).steps == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"module": "middle"}, "has no module 'middle' whose output could be h; name one yourself.*conv_in"),
        ({"guidance": 5.0}, "takes no text, so there is no guidance for it"),
        ({"space": "prompt"}, "takes no text, so there is no prompt space for it"),
        ({"prompt": "a cat"}, "takes no text, so there is no prompt for it"),
        ({"size": [18, 15]}, "18×15 pixels cannot be halved.*sides that 2 divides"),
        ({"scheduler": "ddmi"}, "unknown scheduler 'ddmi'; did you mean 'ddim'"),
        ({"steps": 0}, "cannot take 0 steps"),
        ({"guidance": 0.5, "prompt": "x"}, "guidance must be at least 1"),
        ({"space": "w"}, "unknown space 'w'"),
        ({"label": 3}, "this Diffusion has no classes to choose from: give it no label"),
    ],
)
def test_settings_that_do_not_fit(changes, message, folder):
    with pytest.raises(ValueError, match=message):
        cf.load_generator(folder, changes)


def test_a_text_and_its_denoiser_belong_together():
    solver = {"class": "DDIMScheduler", "config": {}}
    with pytest.raises(ValueError, match="UNet2DConditionModel needs the size of a text's embedding"):
        Diffusion(part(text_unet()), solver)
    with pytest.raises(ValueError, match=r"UNet2DModel takes no text, got text \(5, 12\)"):
        Diffusion(part(pixel_unet()), solver, text=(5, 12))


@pytest.mark.parametrize(
    ("unet", "message"),
    [
        (lambda: pixel_unet(class_embed_type="timestep"), "is told 'timestep' embeddings in place of classes"),
        (lambda: text_unet(num_class_embeds=3), "is told classes besides its text, which is not supported"),
    ],
)
def test_what_else_a_denoiser_may_be_told(unet, message):
    has_text = (5, 12) if "cross_attention_dim" in unet().config else None
    with pytest.raises(ValueError, match=message):
        Diffusion(part(unet()), {"class": "DDIMScheduler", "config": {}}, text=has_text)


def test_a_vae_of_other_channels():
    with pytest.raises(ValueError, match="the denoiser gives 3 channels, and the AutoencoderKL beside it decodes 4"):
        Diffusion(part(pixel_unet()), {"class": "DDIMScheduler", "config": {}}, part(small_vae()))


def test_another_module_can_be_h(folder):
    generator = cf.load_generator(folder, {"steps": 2, "module": "up_blocks.0"})
    assert generator.edit_dim == 16 * 16 * 16
    latent = generator.sample(1, seed=0)
    moved = latent + torch.nn.functional.pad(torch.ones(1, generator.edit_dim), (768, 0))
    assert not torch.equal(generator(moved), generator(latent))


def test_the_extra_is_not_installed(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match=r"need the package diffusers: pip install 'contrafact\[diffusion\]'"):
        cf.load_generator(folder)


def test_texts_need_transformers(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    folder = tmp_path / "sd"
    text_unet().save_pretrained(folder / "unet")
    small_vae().save_pretrained(folder / "vae")
    diffusers.DDIMScheduler().save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"], "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
    }  # fmt: skip
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"needs the package transformers: pip install 'contrafact\[diffusion\]'"):
        cf.load_generator(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"block_out_channels": [8, 4096 * 8]}, "damaged header"),
        ({"layers_per_block": 10**9}, "damaged header"),
        ({"block_out_channels": "x"}, "damaged header"),
        ({"_class_name": "os.system"}, "unknown denoiser 'os.system'"),
        ({"num_class_embeds": 10}, "the weights do not fit the UNet2DModel its header describes"),
    ],
)
def test_a_configuration_that_asks_for_something_else_than_its_file_holds(config, message, folder):
    file = folder / "unet" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    with pytest.raises(ValueError, match=message):
        cf.load_generator(folder)


def test_a_network_alone_that_makes_no_images(folder):
    with pytest.raises(ValueError, match="unknown network that is a generator alone 'UNet2DModel'"):
        cf.load_generator(folder / "unet")


def test_sizes_that_a_vae_does_not_divide():
    with pytest.raises(ValueError, match="this VAE divides sides by 2; images of 17×16 pixels do not fit"):
        AutoencoderKL(AutoencoderKL.tiny().config, (17, 16))


def test_texts_step_for_step_with_the_librarys_own_pipelines(tmp_path):
    """Tokenizer, text encoder, guidance and all: where transformers is installed."""
    transformers = pytest.importorskip("transformers")
    words = ["<|startoftext|>", "<|endoftext|>", "a</w>", "cat</w>", "c", "a", "t", "t</w>"]
    (tmp_path / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(
        str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"), model_max_length=77
    )
    torch.manual_seed(4)
    encoder = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=8, hidden_size=12, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            projection_dim=12, bos_token_id=0, eos_token_id=1, pad_token_id=1,
        )
    )  # fmt: skip
    pipeline = diffusers.StableDiffusionPipeline(
        vae=small_vae(), text_encoder=encoder.eval(), tokenizer=tokenizer, unet=text_unet(),
        scheduler=diffusers.PNDMScheduler(skip_prk_steps=True), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(tmp_path / "sd")
    pipeline.set_progress_bar_config(disable=True)
    generator = cf.load_generator(tmp_path / "sd", {"steps": STEPS, "guidance": 7.5, "prompt": "a cat"})
    latent = generator.sample(2, seed=3)
    made = pipeline(
        ["a cat"] * 2, height=16, width=16, latents=latent[:, :256].view(2, 4, 8, 8), guidance_scale=7.5,
        num_inference_steps=STEPS, output_type="np",
    ).images  # fmt: skip
    np.testing.assert_allclose(generator(latent).clamp(0, 1).permute(0, 2, 3, 1).numpy(), made, atol=1e-5)

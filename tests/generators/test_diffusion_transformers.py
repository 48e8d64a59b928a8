"""Transformers of diffusers as generators: images of the library's own pipelines, where h is, what is refused."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch

import contrafact as cf
from contrafact.contract.generator import CHECKS
from contrafact.core.artefact import load_artefact, save_artefact
from contrafact.core.generator import Generator, sample_latents
from contrafact.generators import Diffusion

diffusers = pytest.importorskip("diffusers")

STEPS = 3
CLASSES = 6


def awake(network):
    """As if it had been trained: blocks whose gates begin at zero, and scales, are drawn anew."""
    rng = torch.Generator().manual_seed(5)
    for weights in network.parameters():
        weights.data += 0.1 * torch.randn(weights.shape, generator=rng)
    return network.eval()


def dit(**changes):
    torch.manual_seed(0)
    return awake(diffusers.DiTTransformer2DModel(**{
        "num_attention_heads": 2, "attention_head_dim": 4, "in_channels": 4, "out_channels": 8, "num_layers": 3,
        "sample_size": 8, "num_embeds_ada_norm": CLASSES, "norm_num_groups": 4, **changes,
    }))  # fmt: skip


def sd3(**changes):
    torch.manual_seed(0)
    return awake(diffusers.SD3Transformer2DModel(**{
        "sample_size": 8, "in_channels": 4, "out_channels": 4, "num_layers": 3, "attention_head_dim": 4,
        "num_attention_heads": 2, "joint_attention_dim": 32, "caption_projection_dim": 8, "pooled_projection_dim": 24,
        "pos_embed_max_size": 8, "dual_attention_layers": (0,), "qk_norm": "rms_norm", **changes,
    }))  # fmt: skip


def flux(**changes):
    torch.manual_seed(0)
    return awake(diffusers.FluxTransformer2DModel(**{
        "in_channels": 16, "num_layers": 3, "num_single_layers": 2, "attention_head_dim": 8, "num_attention_heads": 2,
        "joint_attention_dim": 32, "pooled_projection_dim": 12, "guidance_embeds": True, "axes_dims_rope": (4, 2, 2),
        **changes,
    }))  # fmt: skip


def small_vae(**changes):
    torch.manual_seed(1)
    return diffusers.AutoencoderKL(**{
        "block_out_channels": (8, 8), "norm_num_groups": 4, "latent_channels": 4, "sample_size": 16,
        "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2, **changes,
    })  # fmt: skip


def flow_vae():
    return small_vae(scaling_factor=1.5, shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False).eval()


def flow_euler(**changes):
    return diffusers.FlowMatchEulerDiscreteScheduler(**{"shift": 3.0, **changes})


def dit_folder(path, scheduler=None, **changes):
    pipeline = diffusers.DiTPipeline(dit(**changes), small_vae().eval(), scheduler or diffusers.DDIMScheduler())
    pipeline.save_pretrained(path)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def part(module):
    config = {k: v for k, v in dict(module.config).items() if not k.startswith("_")}
    return {"class": type(module).__name__, "config": json.loads(json.dumps(config))}


def text_generator(network=None, solver=None, tokens=5, **changes):
    """A generator of texts whose embeddings are drawn, as no text encoder is needed for them."""
    network = network or sd3()
    width, pooled = network.config.joint_attention_dim, network.config.pooled_projection_dim
    generator = Diffusion(
        part(network), part(solver or flow_euler()), part(flow_vae()), (tokens, width), pooled,
        **{"steps": STEPS, **changes},
    )  # fmt: skip
    generator.denoiser.load_state_dict(network.state_dict())
    generator.vae.load_state_dict(flow_vae().state_dict())
    rng = torch.Generator().manual_seed(2)
    for name, buffer in generator.named_buffers():
        if name.startswith(("told", "empty")):
            buffer.copy_(torch.randn(buffer.shape, generator=rng))
    return generator.freeze()


def classes_generator(**changes):
    generator = Diffusion(part(dit()), part(diffusers.DDIMScheduler()), part(small_vae()), **{"steps": 2, **changes})
    generator.denoiser.load_state_dict(dit().state_dict())
    return generator.freeze()


def of_sd3(network, generator, noise, shift=0.0, edits=None):
    """Esser et al.'s straight steps through the library's network, times and widths written out."""
    grid = torch.linspace(1000, 3 * 1 / (1 + 2 * 1e-3), STEPS) / 1000  # the scheduler moves its ends before and after
    sigmas = [float(3 * s / (1 + 2 * s)) for s in grid] + [0.0]
    told, empty = ((getattr(generator, f"{n}_TD"), getattr(generator, f"{n}_P")) for n in ("told", "empty"))
    block, x = network.get_submodule("transformer_blocks.1"), noise

    def said(text, x, sigma):
        return network(
            x, text[0].expand(len(x), -1, -1), text[1].expand(len(x), -1), torch.full((len(x),), 1000 * sigma)
        ).sample

    handle = block.register_forward_hook(lambda _m, _i, out: (out[0], out[1] + shift))
    for sigma, following in pairwise(sigmas):
        v = said(told, x, sigma)
        if generator.guidance != 1:
            v = said(empty, x, sigma) + generator.guidance * (v - said(empty, x, sigma))
        if edits is not None:
            moved = torch.cat([empty[0][:1].expand(len(x), 1, -1), empty[0][1:] + edits[:, None]], dim=1)
            v = v + max(1.0, generator.guidance) * (said((moved, empty[1]), x, sigma) - said(empty, x, sigma))
        x = x + (following - sigma) * v
    handle.remove()
    return generator.vae.decode(x / 1.5 + 0.1).sample / 2 + 0.5


# -- diffusion transformers of classes --------------------------------------------------------------------------------


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize(("channels", "name"), [(8, "ddim"), (4, "dpm")])
def test_dit_gives_the_images_of_the_librarys_own_pipeline(channels, name, guidance, tmp_path):
    scheduler = {"ddim": diffusers.DDIMScheduler, "dpm": diffusers.DPMSolverMultistepScheduler}[name]()
    # The pipeline says 1000 in place of a class, whatever the network knows.
    classes = CLASSES if guidance == 1 else 1000
    pipeline = dit_folder(tmp_path / "dit", scheduler, out_channels=channels, num_embeds_ada_norm=classes)
    made = pipeline(
        [4, 1], guidance_scale=guidance, generator=torch.Generator().manual_seed(3), num_inference_steps=STEPS,
        output_type="np",
    ).images  # fmt: skip
    generator = cf.load_generator(tmp_path / "dit", {"steps": STEPS, "guidance": guidance, "space": "noise"})
    assert (generator.num_classes, generator.image_shape) == (classes, (3, 16, 16))
    images = generator(generator.sample(2, seed=3, label=torch.tensor([4, 1])))
    np.testing.assert_allclose(images.clamp(0, 1).permute(0, 2, 3, 1).numpy(), made, atol=1e-5)


def test_the_h_of_a_transformer_is_its_middle_blocks_output(tmp_path):
    pipeline = dit_folder(tmp_path / "dit")
    generator = cf.load_generator(tmp_path / "dit", {"steps": STEPS, "label": 2})
    assert (generator.module, generator.edit_dim) == ("transformer_blocks.1", 8 * 16)  # 8 numbers of 4 × 4 patches
    assert generator.unit.shape == (8, 1)
    assert generator.layer_names == ("h", "block0", "block1", "block2")
    latent = sample_latents(generator, 2, torch.Generator().manual_seed(3))
    edit = torch.randn(2, generator.edit_dim, generator=torch.Generator().manual_seed(0))
    moved = latent + torch.nn.functional.pad(edit, (256, 0))
    shift = (edit.view(2, 8, 16) * generator.unit).transpose(1, 2)
    plain = cf.load_generator(tmp_path / "dit", {"steps": STEPS, "label": 2, "space": "noise"})
    assert torch.equal(generator(latent), plain(latent[:, :256]))  # no shift, no change
    seen = []

    def hook(_module, _inputs, out):
        seen.append(out)
        return out + shift

    handle = pipeline.transformer.transformer_blocks[1].register_forward_hook(hook)
    made = pipeline(
        [2, 2], guidance_scale=1, generator=torch.Generator().manual_seed(3), num_inference_steps=STEPS,
        output_type="np",
    ).images  # fmt: skip
    handle.remove()
    np.testing.assert_allclose(generator(moved).clamp(0, 1).permute(0, 2, 3, 1).numpy(), made, atol=1e-5)
    mean = torch.stack(seen).mean(dim=0).transpose(1, 2) / generator.unit
    assert torch.allclose(generator.features(moved, "h"), mean, atol=1e-4)
    assert torch.allclose(generator.features(moved, "block1"), seen[-1].transpose(1, 2), atol=1e-4)


def test_the_name_that_dit_had_once(tmp_path):
    dit_folder(tmp_path / "dit")
    file = tmp_path / "dit" / "transformer" / "config.json"
    config = {**json.loads(file.read_text()), "_class_name": "Transformer2DModel", "num_vector_embeds": None}
    file.write_text(json.dumps(config))
    assert cf.load_generator(tmp_path / "dit", {"space": "noise", "steps": 2}).num_classes == CLASSES


# -- Stable Diffusion 3 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_sd3_step_for_step(guidance):
    generator = text_generator(guidance=guidance)
    latent = generator.sample(2, seed=0)
    noise = latent[:, :256].view(2, 4, 8, 8)
    assert generator.module == "transformer_blocks.1"
    edit = torch.randn(2, 8 * 16, generator=torch.Generator().manual_seed(1))
    shift = (edit.view(2, 8, 16) * generator.unit).transpose(1, 2)
    with torch.no_grad():
        assert torch.allclose(generator(latent), of_sd3(sd3(), generator, noise), atol=1e-5)
        moved = latent + torch.nn.functional.pad(edit, (256, 0))
        assert torch.allclose(generator(moved), of_sd3(sd3(), generator, noise, shift), atol=1e-5)
        assert not torch.allclose(generator(moved), generator(latent), atol=1e-3)


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_a_shifted_prompt_of_sd3(guidance):
    generator = text_generator(guidance=guidance, space="prompt")
    latent = generator.sample(2, seed=0)
    noise = latent[:, :256].view(2, 4, 8, 8)
    edits = torch.randn(2, 32, generator=torch.Generator().manual_seed(1))
    moved = latent + torch.nn.functional.pad(edits, (256, 0))
    with torch.no_grad():
        assert torch.allclose(generator(moved), of_sd3(sd3(), generator, noise, edits=edits), atol=1e-5)
        assert torch.allclose(generator(latent), of_sd3(sd3(), generator, noise), atol=1e-5)
        assert not torch.allclose(generator(moved), generator(latent), atol=1e-3)


def test_times_that_depend_on_the_size():
    """The shift of the times lies on a line through 256 patches and 4096, as the authors' program has it."""
    scheduler = flow_euler(shift=1.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15)
    for size, patches in (((16, 16), 16), ((16, 8), 8)):
        generator = text_generator(solver=scheduler, space="noise", size=size)
        mu = 0.5 + (patches - 256) / (4096 - 256) * (1.15 - 0.5)
        expected = [np.exp(mu) / (np.exp(mu) + 1 / s - 1) for s in np.linspace(1, 1e-3, STEPS)]
        np.testing.assert_allclose(generator.solver().sigmas[:-1], expected, rtol=1e-5)
        assert generator(generator.sample(1, seed=0)).shape[2:] == size


def of_flux(network, generator, noise, shift=0.0, edits=None):
    """The authors' program: patches of 2 × 2, each with its place, and even steps through the library's network."""
    told, empty = ((getattr(generator, f"{n}_TD"), getattr(generator, f"{n}_P")) for n in ("told", "empty"))
    n, _, height, width = noise.shape
    places = torch.tensor([[0, row, column] for row in range(height // 2) for column in range(width // 2)])

    def patches(x):
        return torch.stack([
            torch.stack([x[:, :, r : r + 2, c : c + 2].flatten(1) for c in range(0, width, 2)], dim=1)
            for r in range(0, height, 2)
        ], dim=1).flatten(1, 2)  # fmt: skip

    def said(text, x, sigma):
        return network(
            x, text[0].expand(n, -1, -1), text[1].expand(n, -1), torch.full((n,), sigma), places,
            torch.zeros(text[0].shape[0], 3), torch.full((n,), generator.guidance),
        ).sample  # fmt: skip

    sigmas = [3 * s / (1 + 2 * s) for s in (1.0, 2 / 3, 1 / 3)] + [0.0]
    block = network.get_submodule(generator.module)
    handle, x = block.register_forward_hook(lambda _m, _i, out: (out[0], out[1] + shift)), patches(noise)
    for sigma, following in pairwise(sigmas):
        v = said(told, x, sigma)
        if edits is not None:
            moved = torch.cat([empty[0][:1].expand(1, -1), empty[0][1:] + edits], dim=0)
            v = v + said((moved, empty[1]), x, sigma) - said(empty, x, sigma)
        x = x + (following - sigma) * v
    handle.remove()
    y = torch.zeros_like(noise)
    for number, (_, row, column) in enumerate(places.tolist()):
        y[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = x[:, number].view(n, -1, 2, 2)
    return generator.vae.decode(y / 1.5 + 0.1).sample / 2 + 0.5


@pytest.mark.parametrize("module", [None, "single_transformer_blocks.0"])
def test_flux_step_for_step(module):
    generator = text_generator(flux(), guidance=3.5, size=(16, 24), module=module)
    assert generator.module == (module or "transformer_blocks.1")
    latent = generator.sample(2, seed=0)
    noise = latent[:, :384].view(2, 4, 8, 12)
    edit = torch.randn(2, 16 * 24, generator=torch.Generator().manual_seed(1))
    shift = (edit.view(2, 16, 24) * generator.unit).transpose(1, 2)
    with torch.no_grad():
        assert torch.allclose(generator(latent), of_flux(flux(), generator, noise), atol=1e-5)
        moved = latent + torch.nn.functional.pad(edit, (384, 0))
        assert torch.allclose(generator(moved), of_flux(flux(), generator, noise, shift), atol=1e-5)
        assert not torch.allclose(generator(moved), generator(latent), atol=1e-3)


def test_a_shifted_prompt_of_flux():
    generator = text_generator(flux(), guidance=3.5, size=(16, 16), space="prompt")
    latent = generator.sample(1, seed=0)
    edit = torch.randn(1, 32, generator=torch.Generator().manual_seed(1))
    moved = latent + torch.nn.functional.pad(edit, (256, 0))
    noise = latent[:, :256].view(1, 4, 8, 8)
    with torch.no_grad():
        assert torch.allclose(generator(moved), of_flux(flux(), generator, noise, edits=edit), atol=1e-5)
        assert not torch.allclose(generator(moved), generator(latent), atol=1e-3)


def clip(width, pooled=None):
    transformers = pytest.importorskip("transformers")
    cls = transformers.CLIPTextModelWithProjection if pooled else transformers.CLIPTextModel
    return cls(
        transformers.CLIPTextConfig(
            vocab_size=8, hidden_size=width, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
            projection_dim=pooled or 4, bos_token_id=0, eos_token_id=1, pad_token_id=1,
        )
    ).eval()  # fmt: skip


def t5(width):
    transformers = pytest.importorskip("transformers")
    config = transformers.T5Config(vocab_size=6, d_model=width, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    return awake(transformers.T5EncoderModel(config))


def clip_words(folder):
    transformers = pytest.importorskip("transformers")
    words = ["<|startoftext|>", "<|endoftext|>", "a</w>", "cat</w>", "c", "a", "t", "t</w>"]
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)


def t5_words():
    transformers = pytest.importorskip("transformers")
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁a", -1.0), ("▁cat", -1.5), ("▁", -2.0)]
    return transformers.T5TokenizerFast(vocab=vocab, extra_ids=0)


def sd3_pipeline(folder, with_t5=True):
    torch.manual_seed(4)
    pipeline = diffusers.StableDiffusion3Pipeline(
        transformer=sd3(), scheduler=flow_euler(), vae=flow_vae(), text_encoder=clip(12, 10),
        tokenizer=clip_words(folder), text_encoder_2=clip(16, 14), tokenizer_2=clip_words(folder),
        text_encoder_3=t5(32) if with_t5 else None, tokenizer_3=t5_words() if with_t5 else None,
    )  # fmt: skip
    pipeline.save_pretrained(folder / "sd3")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, folder / "sd3"


@pytest.mark.parametrize(("guidance", "with_t5"), [(1.0, True), (6.0, True), (6.0, False)])
def test_sd3_gives_the_images_of_the_librarys_own_pipeline(guidance, with_t5, tmp_path):
    """Tokenizers, the two or three text encoders, guidance and all: where transformers is installed."""
    pipeline, folder = sd3_pipeline(tmp_path, with_t5)
    changes = {"steps": STEPS, "guidance": guidance, "prompt": "a cat", "space": "noise"}
    generator = cf.load_generator(folder, changes)
    assert (generator.text, generator.pooled) == ((77 + 256, 32), 24)
    made = pipeline(
        ["a cat"] * 2, height=16, width=16, guidance_scale=guidance, num_inference_steps=STEPS, output_type="np",
        generator=torch.Generator().manual_seed(3),
    ).images  # fmt: skip
    images = generator(generator.sample(2, seed=3)).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(images, made, atol=1e-5)


@pytest.mark.parametrize(("guidance", "shifted"), [(3.5, True), (1.0, False), (None, False)])
def test_flux_gives_the_images_of_the_librarys_own_pipeline(guidance, shifted, tmp_path):
    """Dev, whose network is told its guidance and whose times depend on the size, and schnell, which is told none."""
    torch.manual_seed(4)
    pipeline = diffusers.FluxPipeline(
        scheduler=flow_euler(use_dynamic_shifting=shifted), vae=flow_vae(), text_encoder=clip(12),
        tokenizer=clip_words(tmp_path), text_encoder_2=t5(32), tokenizer_2=t5_words(),
        transformer=flux(guidance_embeds=guidance is not None),
    )  # fmt: skip
    pipeline.save_pretrained(tmp_path / "flux")
    pipeline.set_progress_bar_config(disable=True)
    changes = {"steps": STEPS, "guidance": guidance or 1.0, "prompt": "a cat", "size": [16, 24], "space": "noise"}
    generator = cf.load_generator(tmp_path / "flux", changes)
    assert (generator.text, generator.pooled) == ((512, 32), 12)
    made = pipeline(
        ["a cat"] * 2, height=16, width=24, guidance_scale=guidance or 0.0, num_inference_steps=STEPS,
        output_type="np", generator=torch.Generator().manual_seed(3),
    ).images  # fmt: skip
    images = generator(generator.sample(2, seed=3)).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(images, made, atol=1e-5)


def test_an_encoder_without_safetensors(tmp_path):
    _, folder = sd3_pipeline(tmp_path)
    file = folder / "text_encoder_3" / "model.safetensors"
    file.rename(file.with_name("pytorch_model.bin"))
    with pytest.raises(ValueError, match="text_encoder_3 holds no safetensors; pickles are not read"):
        cf.load_generator(folder)


# -- what holds for all -----------------------------------------------------------------------------------------------

KINDS = {
    "dit": classes_generator,
    "dit, a class, guided": lambda: classes_generator(label=2, guidance=3.0),
    "sd3": text_generator,
    "sd3, prompt, guided": lambda: text_generator(space="prompt", guidance=3.0),
    "flux": lambda: text_generator(flux(), size=(16, 16), guidance=2.0),
    "flux, prompt": lambda: text_generator(flux(guidance_embeds=False), size=(16, 16), space="prompt"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "check",
    [c for c in CHECKS if c.__name__ not in ("knows_its_latents_spread", "truncates_more_than_edits")],
    ids=lambda c: c.__name__,
)
def test_it_keeps_the_promise_of_a_generator(check, kind):
    torch.manual_seed(0)
    check(KINDS[kind]())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "noise" not in kind])
def test_gradients_reach_the_edit_with_and_without_checkpoints(kind):
    gradients = []
    for checkpointed in (False, True):
        generator = KINDS[kind]()
        generator.checkpointed = checkpointed
        latent = sample_latents(generator, 2, torch.Generator().manual_seed(0)).requires_grad_()
        generator(latent).square().sum().backward()
        gradients.append(latent.grad[:, slice(*generator.edit_columns)])
    assert gradients[0].abs().max() > 0
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_holds_it(kind, tmp_path):
    generator = KINDS[kind]()
    save_artefact(generator, tmp_path / "g.safetensors")
    again = load_artefact(tmp_path / "g.safetensors", Generator).freeze()
    latent = sample_latents(generator, 1, torch.Generator().manual_seed(0))
    assert torch.equal(again(latent), generator(latent))


def test_a_flow_can_be_gone_back():
    generator = text_generator(space="noise")
    for weights in generator.denoiser.proj_out.parameters():
        weights *= 0.02
    latent = generator.sample(2, seed=1)
    x = generator.walk(generator.split(latent)[0], [None] * STEPS)
    assert torch.allclose(generator.noise_of(x, rounds=12).flatten(1), latent, atol=1e-3)


def test_components_of_h_of_all_classes(tmp_path, monkeypatch):
    generator, seen = classes_generator(), []
    watched = generator.activations
    monkeypatch.setattr(generator, "activations", lambda z, layer: seen.append((z, watched(z, layer))) or seen[-1][1])
    run = cf.methods.GANSpace(num_directions=2, num_samples=32, batch_size=16).fit(generator, tmp_path / "run")
    latents, h = (torch.cat([pair[number] for pair in seen[1:]]) for number in (0, 1))  # the first is a probe
    assert len(latents) == 32
    assert len(latents[:, 256 : 256 + CLASSES].argmax(dim=1).unique()) == CLASSES
    _, values, components = np.linalg.svd((h - h.mean(dim=0)).double().numpy(), full_matrices=False)
    for number in range(2):
        moved = (run.directions(latents[:1], number, 2.0) - latents[:1])[0]
        assert not moved[: 256 + CLASSES].any()
        expected = 2 * components[number] * values[number] / np.sqrt(32)
        sign = np.sign(moved[256 + CLASSES :].numpy() @ expected)
        np.testing.assert_allclose(moved[256 + CLASSES :], sign * expected, rtol=0.05, atol=1e-4)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "a cat"}, "takes no text, so there is no prompt for it"),
        ({"space": "prompt"}, "takes no text, so there is no prompt space for it"),
        ({"size": [16, 18]}, "16×18 pixels cannot be cut into the patches.*sides that 4 divides"),
        ({"size": [16, 32]}, "makes square images alone, got 16×32 pixels; give equal sides"),
        ({"scheduler": "flow_euler"}, "flow_euler follows a flow, and this pipeline's network says noise.*ddim, euler"),
        ({"label": CLASSES}, "label must be a class from 0 to 5, got 6"),
        ({"module": "mid_block"}, "DiTTransformer2DModel has no module 'mid_block'.*transformer_blocks"),
    ],
)
def test_settings_that_do_not_fit_dit(changes, message, tmp_path):
    dit_folder(tmp_path / "dit")
    with pytest.raises(ValueError, match=message) as raised:
        cf.load_generator(tmp_path / "dit", changes)
    assert str(raised.value).startswith(f"{tmp_path / 'dit'}: ")  # which of several it is


def test_a_folder_without_safetensors(tmp_path):
    dit_folder(tmp_path / "dit")
    file = tmp_path / "dit" / "transformer" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_suffix(".bin"))
    with pytest.raises(ValueError, match=r"transformer holds no safetensors.*\.bin can run programs"):
        cf.load_generator(tmp_path / "dit")


def test_a_folder_without_a_transformer(tmp_path):
    dit_folder(tmp_path / "dit")
    file = tmp_path / "dit" / "model_index.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "transformer": [None, None]}))
    with pytest.raises(ValueError, match="has no transformer; it lists scheduler, vae"):
        cf.load_generator(tmp_path / "dit")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": (18, 16)}, "18×16 pixels cannot be cut into the patches.*sides that 4 divides"),
        ({"size": (16, 36)}, "16×36 pixels are larger than this network knows places for; give sides of at most 32"),
        (
            {"scheduler": "euler"},
            "euler follows noise, and this pipeline's network says a flow.*take one of flow_euler",
        ),
    ],
)
def test_settings_that_do_not_fit_sd3(changes, message):
    with pytest.raises(ValueError, match=message):
        text_generator(**changes)


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        ({"guidance_embeds": False}, {"guidance": 3.5}, "made to do without guidance.*so there is none for it"),
        ({}, {"size": (18, 16)}, "18×16 pixels cannot be cut into the patches.*sides that 4 divides"),
        ({}, {"scheduler": "ddim"}, "ddim follows noise, and this pipeline's network says a flow"),
        ({}, {"steps": 0}, "FlowMatchEulerDiscreteScheduler cannot take 0 steps"),
        ({"in_channels": 32, "out_channels": 16}, {}, "is shown 8 channels and says 4 of them; take one that says as"),
    ],
)
def test_settings_that_do_not_fit_flux(network, changes, message):
    with pytest.raises(ValueError, match=message):
        text_generator(flux(**network), **changes)


def test_the_size_that_flux_has_where_none_is_given():
    assert text_generator(flux(), space="noise").image_shape == (3, 256, 256)  # 128 of each channel, by its pipeline


def test_parts_that_do_not_belong_together():
    vae, solver = part(flow_vae()), part(flow_euler())
    with pytest.raises(ValueError, match="SD3Transformer2DModel says flows, and the pipeline's DDIMScheduler follows"):
        text_generator(solver=diffusers.DDIMScheduler())
    with pytest.raises(ValueError, match="SD3Transformer2DModel needs the size of a text's embedding"):
        Diffusion(part(sd3()), solver, vae)
    with pytest.raises(ValueError, match="SD3Transformer2DModel needs the size of a text's pooled embedding"):
        Diffusion(part(sd3()), solver, vae, (5, 32))
    with pytest.raises(ValueError, match="the denoiser gives 8 channels, and the AutoencoderKL beside it decodes 4"):
        Diffusion(part(dit(in_channels=8)), part(diffusers.DDIMScheduler()), vae)


def test_a_solver_of_another_kind_than_the_pipelines():
    unet = Diffusion.tiny()._parts["denoiser"]
    with pytest.raises(ValueError, match="flow_euler follows a flow, and this pipeline's network says noise"):
        Diffusion(unet, part(diffusers.DDIMScheduler()), scheduler="flow_euler")
    with pytest.raises(ValueError, match="ddim follows noise, and this pipeline's network says a flow"):
        Diffusion(unet, part(flow_euler()), scheduler="ddim")
    assert Diffusion(unet, part(flow_euler()), scheduler="flow_euler", steps=2).steps == 2
    other = diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
    with pytest.raises(ValueError, match=r"set to follow a flow \(prediction_type flow_prediction\), which is not"):
        Diffusion(unet, part(other))

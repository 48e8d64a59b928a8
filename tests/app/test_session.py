"""What a page may ask in Python: facts, and pictures that are those of the generator and the edit."""

import base64
import json

import numpy as np
import pytest
import torch

from contrafact.app.search import search
from contrafact.app.session import Session
from contrafact.app.state import Between, Drawn, Photo, State, Values, encode_values, parse_state
from contrafact.core.artefact import save_artefact
from contrafact.core.direction_files import choose, load_directions, name_direction
from contrafact.core.directions import GlobalDirections
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator, sample_latents
from contrafact.core.method import load_run
from contrafact.core.whitened_directions import WhitenedDirections
from contrafact.editing.latents import StoredLatents, edit
from contrafact.generators.checkpoints import load_generator
from contrafact.generators.rectified_flow import RectifiedFlow
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.report.subject import Subject
from tests.report.tiny_runs import Stripes

SEED = 7


def drawn(generator, seed=SEED):
    return sample_latents(generator, 1, torch.Generator().manual_seed(seed))


@pytest.fixture
def session(disco_folder):
    return Session.open(disco_folder)


@pytest.fixture
def layered():
    generator = StyleGAN2.tiny()
    generator.fix_label(1)
    rng = torch.Generator().manual_seed(0)
    directions = GlobalDirections.of(torch.randn(3, 12, generator=rng), 0.5, layers=(0, 2), num_layers=6)
    return Session(Subject(generator.freeze(), directions.requires_grad_(False), None, None, "direction"))


@pytest.mark.parametrize("steps", [[], [(0, 1.5)], [(0, -2.0), (3, 0.25)], [(1, 3.0), (2, -1.0), (3, 2.5)]])
def test_a_state_of_a_run_is_the_edit_of_its_latent(session, disco_folder, steps):
    run = load_run(disco_folder)
    latent = drawn(run.generator)
    expected = run.generator(edit(run.generator, run.directions, latent, steps) if steps else latent)
    assert torch.equal(session.render([State(Drawn(SEED), tuple(steps))]), expected)


def test_a_generator_with_directions_of_a_file(tmp_path, vae_folder):
    generator = load_generator(vae_folder)
    file = tmp_path / "mine.safetensors"
    save_artefact(GlobalDirections.of(torch.eye(6)[:2], 0.7, names=["up", "away"]), file)
    session = Session.open(generator=str(vae_folder), use=file)
    assert {found["name"] for found in session.facts()["directions"]} == {"up", "away"}
    expected = generator(drawn(generator) + 0.7 * 2 * torch.eye(6)[1])
    assert torch.allclose(session.render([State(Drawn(SEED), ((1, 2.0),))]), expected, atol=1e-6)


def test_a_generator_alone_moves_along_its_own_axes():
    session = Session.open(generator="analytic")
    generator = load_generator("analytic")
    facts = session.facts()
    assert {found["kind"] for found in facts["directions"]} == {"code"}
    assert len(facts["directions"]) == generator.latent_dim
    moved = drawn(generator)
    moved[0, 2] += 1.5 * generator.latent_scale()
    assert torch.allclose(session.render([State(Drawn(SEED), ((2, 1.5),))]), generator(moved), atol=1e-6)


def test_states_together_are_what_they_are_alone(session):
    latent = encode_values(drawn(session.generator, 3))
    states = [
        State(Drawn(1), ((0, 1.0),)),
        parse_state({"latent": {"values": latent}, "magnitudes": {"2": -1}}),
        State(Between(Drawn(1), Drawn(2), 0.25)),
        State(Drawn(4), truncation=0.5),
    ]
    together = session.render(states)
    for image, state in zip(together, states, strict=True):
        assert torch.allclose(image, session.render([state])[0], atol=1e-5)


def test_latents_of_every_kind(session):
    generator = session.generator
    first, last = drawn(generator, 1), drawn(generator, 2)
    session.latents = StoredLatents.of(generator, torch.cat((first, last)), ["ann", "bob"])
    assert torch.equal(session.latent_of(Photo("bob")), last)
    assert torch.equal(session.latent_of(Values(tuple(first[0].tolist()))), first)
    between = session.latent_of(Between(Photo("ann"), Drawn(2), 0.25))
    assert torch.allclose(between, 0.75 * first + 0.25 * last, atol=1e-6)
    shorter = session.latent_of(Drawn(2), 0.5)
    assert torch.equal(shorter, sample_latents(generator.truncated(0.5), 1, torch.Generator().manual_seed(2)))


def test_layers_of_a_state_take_the_place_of_the_directions_own(layered):
    generator, directions = layered.generator, layered.directions
    latent = drawn(generator)
    for layers in (None, (2, 5)):
        state = State(Drawn(SEED), ((0, 1.0), (2, -2.0)), layers)
        expected = generator(edit(generator, directions, latent, [(0, 1.0), (2, -2.0)], layers))
        assert torch.equal(layered.render([state]), expected)
    wide = torch.randn(1, 6, 12, generator=torch.Generator().manual_seed(1))
    assert torch.equal(layered.latent_of(Values(tuple(wide.flatten().tolist()))), wide)
    mixed = layered.latent_of(Between(Values(tuple(wide.flatten().tolist())), Drawn(SEED), 0.5))
    assert torch.allclose(mixed, (wide + latent[:, None]) / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"latent": {"photo": "eve"}}, "no latent called 'eve'; known: none"),
        ({"latent": {"values": base64.b64encode(b"\0" * 8).decode()}}, "a latent here has 6 numbers, got 2"),
        ({"magnitudes": {"99": 1.0}}, "direction 99 does not exist"),
        ({"magnitudes": {"0": 13.0}}, "direction 0 can be moved by at most"),
        ({"layers": [0, 1], "magnitudes": {"0": 1}}, "all of its layers take the same latent"),
        ({"run": "other"}, "no run called 'other'"),
    ],
)
def test_states_that_do_not_fit_are_refused(session, said, words):
    with pytest.raises(ValueError, match=words):
        session.render([parse_state(said)])


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([], "a state is an object"),
        ({"latent": {"seed": -1}}, "seed"),
        ({"latent": {"seed": True}}, "seed"),
        ({"latent": {"seed": 1, "photo": "x"}}, "a latent is one of"),
        ({"latent": {"values": "!"}}, "base64"),
        ({"latent": {"values": base64.b64encode(np.float32([np.nan]).tobytes()).decode()}}, "finite"),
        ({"magnitudes": {"x": 1}}, "numbers"),
        ({"magnitudes": {"1": float("inf")}}, "finite"),
        ({"magnitudes": {"1": "2"}}, "finite number"),
        ({"layers": [1]}, "layers"),
        ({"truncation": 2}, "truncation"),
        ({"run": 3}, "run"),
    ],
)
def test_texts_that_are_no_state_are_refused(said, words):
    with pytest.raises(ValueError, match=words):
        parse_state(said)


def test_latents_between_latents_end_somewhere():
    said = {"seed": 0}
    for _ in range(9):
        said = {"between": [said, {"seed": 1}, 0.5]}
    with pytest.raises(ValueError, match="at most 8 times"):
        parse_state({"latent": said})


def test_facts_of_a_run_are_what_the_page_expects(session, disco_folder):
    facts = json.loads(json.dumps(session.facts(), allow_nan=False))
    assert (facts["title"], facts["generator"]) == ("disco", "shapes3d")
    assert facts["image_shape"] == [3, 16, 16]
    assert facts["command"]["edit"] == f"contrafact edit {disco_folder}"
    assert len(facts["codes"]) == 5
    assert sorted(found["number"] for found in facts["directions"]) == [0, 1, 2, 3]
    for found in facts["directions"]:
        assert found["group"] in [other["number"] for other in facts["directions"]]
        assert 0.5 <= found["limit"] <= 6
        assert len(found["moves"]) == 5


def test_strengths_groups_and_limits_of_a_linear_generator():
    generator = Stripes()  # image = latent @ weight, standard normal latents
    with torch.no_grad():
        generator.weight *= 0.02
        generator.weight += 0.3 / 3  # images stay within [0, 1]: nothing is clamped near the middle
    weight = generator.weight
    vectors = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, -1.0], [-1.0, 0.05, 0.0]])
    directions = GlobalDirections.of(vectors).requires_grad_(False)
    found = Session(Subject(generator, directions, None, None, "direction")).facts()["directions"]
    by_number = {one["number"]: one for one in found}
    base = sample_latents(generator, 16, torch.Generator().manual_seed(0)) @ weight
    for number, one in by_number.items():
        step = directions.vectors()[number] @ weight
        changes = [((base + sign * step).clamp(0, 1) - base.clamp(0, 1)).abs().mean() for sign in (1, -1)]
        assert one["strength"] == pytest.approx(float(sum(changes)) / 2, rel=1e-4)
    assert by_number[0]["group"] == by_number[2]["group"] != by_number[1]["group"]
    groups = [one["group"] for one in found]
    assert groups in ([groups[0]] * 2 + [1], [1] + [groups[1]] * 2)  # copies stand next to each other
    # 99 % of three standard normal numbers lie within 3.37; half the samples, of median length about 1.5, leave at 3.
    assert all(2.0 <= one["limit"] <= 3.0 for one in found)


def test_edits_of_a_layer_may_go_as_far_as_figures_do():
    generator = RectifiedFlow.tiny().freeze()  # all samples' latents are 0 where edits move them
    directions = GlobalDirections.of(torch.eye(generator.edit_dim)[:2], columns=generator.edit_columns)
    facts = Session(Subject(generator, directions.requires_grad_(False), None, None, "direction")).facts()
    assert [found["limit"] for found in facts["directions"]] == [8.0, 8.0]
    assert "limits are where figures end: nothing says how far edits of h may go" in facts["notes"]


class Reads(Encoder):
    """The colour of one place: its angle in a plane, and how light it is."""

    image_shape, code_dim, angles = (3, 4, 4), 2, (0,)

    def encode(self, images):
        red, green, blue = images[:, :, 0, 0].unbind(1)
        return torch.stack([torch.atan2(green - 0.5, red - 0.5), blue], dim=1)


class Paints(Generator):
    latent_dim = prior_dim = 3
    image_shape = (3, 4, 4)

    def forward(self, latent):
        return (0.5 + 0.1 * latent)[:, :, None, None].expand(-1, -1, 4, 4)


def test_a_circle_is_a_whole_turn_and_moves_the_angle_that_reads_it():
    directions = WhitenedDirections.of(torch.eye(3), groups=[[0, 1], [2]], names=["hue", "light"])
    session = Session(Subject(Paints(), directions.requires_grad_(False), Reads(), None, "direction"))
    hue, light = sorted(session.facts()["directions"], key=lambda found: found["number"])
    assert (hue["circle"], light["circle"]) == (True, False)
    assert hue["limit"] == pytest.approx(np.pi), "every turn is as likely as none"
    # A magnitude of 1 is a radian, also where the angle's end lies within it: a plain mean of differences is about 0.
    (first, change), (_, rest) = hue["moves"]
    assert (first, change) == (0, pytest.approx(1.0, abs=1e-3))
    assert abs(rest) < 1e-6
    assert session.warnings(State(magnitudes=((0, 3.2),))) == ["hue is beyond 3.14 rad, where images leave the data"]
    few = choose(directions, ["light", "hue"])
    assert [few.is_circle(0), few.is_circle(1)] == [False, True]


def test_an_angle_is_searched_by_the_shorter_way():
    directions = WhitenedDirections.of(torch.eye(3), groups=[[0, 1], [2]]).requires_grad_(False)
    session = Session(Subject(Paints(), directions, Reads(), None, "direction"))
    start = State(parse_state({"latent": {"values": encode_values(torch.tensor([[-2.0, 0.3, 0.0]]))}}).latent)
    found = search(session, start, 0, -3.0)
    assert found.value == pytest.approx(-3.0, abs=0.01)
    assert found.distance < 1.0, "through half a turn, and not around by 0"
    assert found.latent[0] < -1.0


def test_a_generator_is_called_by_its_name_or_by_what_its_run_learned_from(vae_folder, layered):
    assert layered.generator_name == "generator"
    assert Session.open(None, generator="analytic").generator_name == "analytic"
    assert Session.open(vae_folder).generator_name == "shapes3d"


def test_a_name_given_elsewhere_is_read_again(session, disco_folder):
    name_direction(disco_folder, 2, "hue")
    session.renamed()
    assert session.directions.names[2] == "hue"
    assert load_directions(disco_folder).names[2] == "hue"


def test_runs_are_compared_on_the_same_latents(vae_folder, tmp_path, session):
    other = Session(Subject(session.generator, session.directions, None, tmp_path / "second", "direction"))
    session.add_rival(other)
    assert session.facts()["runs"] == ["second"]
    there, here = session.render([State(Drawn(SEED), ((0, 1.0),), run="second"), State(Drawn(SEED), ((0, 1.0),))])
    assert torch.equal(there, here)
    with pytest.raises(ValueError, match="same latents only"):
        session.add_rival(Session.open(generator="analytic"))


def test_the_runs_own_latents_are_its_photographs(disco_folder):
    generator = load_run(disco_folder).generator
    StoredLatents.of(generator, drawn(generator), ["ann"]).save(disco_folder / "latents.safetensors")
    assert Session.open(disco_folder).facts()["photos"] == ["ann"]


def test_latents_of_another_generator_are_said(disco_folder, tmp_path):
    generator = load_generator("analytic")
    file = StoredLatents.of(generator, drawn(generator), ["ann"]).save(disco_folder / "latents.safetensors")
    facts = Session.open(disco_folder).facts()
    assert facts["photos"] == []
    assert "other weights" in facts["notes"][0] or "latents" in facts["notes"][0]
    with pytest.raises(ValueError, match="latents"):
        Session.open(disco_folder, latents=file)

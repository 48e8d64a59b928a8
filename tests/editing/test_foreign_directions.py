"""Directions of other programs: each moves a latent as its own program does, by a loop written from its apply step.

The programs were read, not run, at these commits: harskish/ganspace 0d5879e (notebooks/notebook_utils.py) and 0a8b683
(decomposition.py), genforce/sefa 69467f2 (sefa.py, utils.py), genforce/interfacegan 7143965 (utils/manipulator.py),
rosinality/stylegan2-pytorch 0613b1e (apply_factor.py), anvoynov/GANLatentDiscovery 0511e44 (latent_deformator.py) and
catlab-team/latentclr bc98fb0 (colat/models, colat/utils/net_utils.py).
"""

import pickle
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import contrafact as cf
from contrafact.core.artefact import load_artefact, save_artefact
from contrafact.core.directions import Directions, GlobalDirections, LayeredDirections
from contrafact.editing.directions import convert_directions, load_directions
from contrafact.editing.latents import load_latents
from contrafact.generators.analytic import Analytic
from contrafact.generators.stylegan2 import StyleGAN2
from tests.editing import foreign_files as files
from tests.editing.foreign_files import D, K, L

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning")


@pytest.fixture(scope="module")
def stylegan():
    """Edited in w: 6 layers, 12 dimensions."""
    torch.manual_seed(0)
    return StyleGAN2(16, latent_dim=L, channels=[8, 6, 4], mapping_layers=2).freeze()


def moved(directions, index, magnitude):
    latent = torch.randn(2, L, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        return latent, directions(latent, index, magnitude)


# -- each program's step ----------------------------------------------------------------------------------------------


def test_ganspace_steps_by_standard_deviations_of_each_component(stylegan, tmp_path):
    files.ganspace(tmp_path / "components.npz")
    directions = load_directions(tmp_path / "components.npz", stylegan)
    stored = np.load(tmp_path / "components.npz")
    for i in range(D):
        latent, found = moved(directions, i, -1.5)
        for n in range(2):
            expected = latent[n].numpy() + stored["lat_comp"][i][0] * -1.5 * stored["lat_stdev"][i]
            np.testing.assert_allclose(found[n], expected, rtol=1e-6, atol=1e-6)
    assert directions.note == {
        "read_from": "components.npz",
        "program": "GANSpace",
        "unit": "a standard deviation along the component",
        "space": "w",
    }
    torch.save({"mean": torch.zeros(1, L), "comp": torch.from_numpy(stored["lat_comp"]),
                "std": torch.from_numpy(stored["lat_stdev"])}, tmp_path / "ffhq_pca.pt")  # fmt: skip
    assert torch.equal(load_directions(tmp_path / "ffhq_pca.pt").vectors(), directions.vectors())


def test_rosinality_s_directions_are_columns(stylegan, tmp_path):
    files.factor(tmp_path / "factor.pt")
    directions = load_directions(tmp_path / "factor.pt", stylegan)
    eigvec = torch.load(tmp_path / "factor.pt", weights_only=True)["eigvec"]
    for index in (0, 7, 11):
        latent, found = moved(directions, index, 5.0)
        assert torch.equal(found, latent + 5.0 * eigvec[:, index].unsqueeze(0))


def test_interfacegan_s_distance_from_the_boundary_is_a_step_from_where_the_latent_is(stylegan, tmp_path):
    boundary = files.rows(1)
    np.save(tmp_path / "age_boundary.npy", boundary)
    directions = load_directions(tmp_path / "age_boundary.npy", stylegan)
    assert directions.names == ["age_boundary"]
    latent = torch.randn(1, L, generator=torch.Generator().manual_seed(1))
    for distance in (-3.0, 0.0, 2.0):
        at_distance = latent.numpy() + (distance - latent.numpy().dot(boundary.T)) * boundary
        step = distance - latent.numpy().dot(boundary.T).item()
        np.testing.assert_allclose(directions(latent, 0, step).numpy(), at_distance, atol=1e-5)
    layered = torch.randn(1, K, L)  # where it moves each layer by the distance itself
    np.testing.assert_allclose(
        directions(layered, 0, 2.0), layered.numpy() + 2.0 * boundary.reshape(1, 1, -1), atol=1e-6
    )


@pytest.mark.parametrize("layers", [None, [0, 1, 2, 3, 4, 5], [1, 2, 3], [0, 2, 5]])
def test_sefa_s_rows_move_the_layers_it_factorised(stylegan, layers, tmp_path):
    boundaries = files.rows()
    beside = {} if layers is None else {"layers": np.array(layers), "values": np.ones(D)}
    np.savez(tmp_path / "sefa.npz", boundaries=boundaries, **beside)
    directions = load_directions(tmp_path / "sefa.npz", stylegan)
    codes = torch.randn(1, K, L)
    expected = codes.numpy().copy()
    expected[:, layers or list(range(K)), :] += boundaries[2:3] * -3.0
    np.testing.assert_allclose(directions(codes, 2, -3.0), expected, atol=1e-6)


def test_a_linear_deformator_s_columns_are_its_directions(stylegan, tmp_path):
    state = files.deformator(tmp_path / "models" / "deformator_0.pt", "linear")
    directions = load_directions(tmp_path / "models" / "deformator_0.pt", stylegan)
    for index in range(D):
        latent, found = moved(directions, index, 2.5)
        one_hot = torch.zeros(1, D)
        one_hot[0, index] = 2.5
        still = F.linear(torch.zeros(1, D), state["linear.weight"], state["linear.bias"])
        step = F.linear(one_hot, state["linear.weight"], state["linear.bias"])
        torch.testing.assert_close(found, latent + step - still)


def test_an_orthonormal_deformator_is_the_exponential_of_a_skew_matrix(tmp_path):
    half = files.deformator(tmp_path / "models" / "deformator_0.pt", "ortho")["log_mat_half"].double()
    skew, series, power = half - half.T, torch.eye(L).double(), torch.eye(L).double()
    for n in range(1, 120):  # the exponential by its series
        power = power @ skew / n
        series = series + power
    directions = load_directions(tmp_path / "models" / "deformator_0.pt")
    latent, found = moved(directions, 3, 1.0)
    one_hot = torch.zeros(1, L)
    one_hot[0, 3] = 1.0
    torch.testing.assert_close(found, latent + F.linear(one_hot, series.float()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["proj", "fc"])
def test_deformators_that_bend_move_as_the_network_does(kind, tmp_path):
    state = files.deformator(tmp_path / "models" / "deformator_0.pt", kind)
    directions = load_directions(tmp_path / "models" / "deformator_0.pt")

    def deformed(step):
        if kind == "proj":
            out = F.linear(step, state["linear.weight"], state["linear.bias"])
            return step.norm(dim=1, keepdim=True) / out.norm(dim=1, keepdim=True) * out

        def linear(i, x):
            return F.linear(x, state[f"fc{i}.weight"], state[f"fc{i}.bias"])

        def norm(i, x):
            x = (x - state[f"bn{i}.running_mean"]) / (state[f"bn{i}.running_var"] + 1e-5).sqrt()
            return F.elu(x * state[f"bn{i}.weight"] + state[f"bn{i}.bias"])

        x1 = linear(1, step)
        x2 = linear(2, norm(1, x1))
        x3 = linear(3, norm(2, x2 + x1))
        return linear(4, norm(3, x3 + x2 + x1)) + step

    for index, magnitude in ((0, 2.0), (3, -0.5)):
        latent, found = moved(directions, index, magnitude)
        one_hot = torch.zeros(1, directions.num_directions)
        one_hot[0, index] = magnitude
        torch.testing.assert_close(found, latent + deformed(one_hot) - deformed(0 * one_hot), rtol=1e-4, atol=1e-5)
    latent, still = moved(directions, 1, 0.0)
    torch.testing.assert_close(still, latent)
    save_artefact(directions, tmp_path / "d.safetensors")
    again = load_artefact(tmp_path / "d.safetensors", Directions)
    assert torch.equal(moved(again, 2, 1.5)[1], moved(directions, 2, 1.5)[1])


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_latentclr_s_models_move_a_latent_by_alpha_along_its_own_direction(depth, tmp_path):
    state = files.latentclr(tmp_path / "final_model.pt", depth)
    directions = load_directions(tmp_path / "final_model.pt")
    for k, alpha in ((0, 1.0), (3, -4.0)):
        latent, found = moved(directions, k, alpha)
        step = state["params"][k].expand(2, -1) if depth == 0 else latent
        for j in range(1, depth + 1):
            step = F.linear(step, state[f"nets.{k}.linear_{j}.weight"], state.get(f"nets.{k}.linear_{j}.bias"))
            if j < depth:
                mean, var, gain, offset = (
                    state[f"nets.{k}.batchnorm_{j}.{part}"]
                    for part in ("running_mean", "running_var", "weight", "bias")
                )
                step = F.relu((step - mean) / (var + 1e-5).sqrt() * gain + offset)
        expected = latent + alpha * step / step.norm(dim=1, keepdim=True)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    save_artefact(directions, tmp_path / "d.safetensors")
    again = load_artefact(tmp_path / "d.safetensors", Directions)
    assert torch.equal(moved(again, 2, 1.5)[1], moved(directions, 2, 1.5)[1])


# -- plain arrays -----------------------------------------------------------------------------------------------------


def written(folder, array):
    """One array in every kind of file."""
    np.save(folder / "a.npy", array)
    np.save(folder / "double.npy", array.astype(">f8"))
    np.save(folder / "objects.npy", {"boundary": array, "meta_data": {"threshold": 0.5}}, allow_pickle=True)
    np.savez(folder / "a.npz", array)
    torch.save(torch.from_numpy(array), folder / "a.pt")
    torch.save(torch.nn.Parameter(torch.from_numpy(array)), folder / "parameter.pt")
    torch.save({"direction": torch.from_numpy(array)}, folder / "dict.pt", _use_new_zipfile_serialization=False)
    save_file({"vectors": torch.from_numpy(array)}, folder / "a.safetensors")
    if array.ndim == 2:
        np.savetxt(folder / "a.txt", array, fmt="%.9g")
        np.savetxt(folder / "a.csv", array, fmt="%.9g", delimiter=", ", header="x", comments="")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("shape", [(L,), (1, L), (3, L), (3, 1, L)])
def test_vectors_are_rows_of_any_file(shape, tmp_path):
    array = files.rng().normal(size=shape).astype(np.float32)
    for path in written(tmp_path, array):
        directions = load_directions(path)
        assert type(directions) is GlobalDirections
        assert torch.equal(directions.vectors(), torch.from_numpy(array).reshape(-1, L)), path.name
        assert directions.scale == 1.0
        assert directions.names == (
            [path.stem] if len(directions) == 1 else ["direction 0", "direction 1", "direction 2"]
        )


@pytest.mark.parametrize("shape", [(K, L), (1, K, L), (3, K, L)])
def test_a_vector_per_layer_is_told_by_the_generator(stylegan, shape, tmp_path):
    array = files.rng().normal(size=shape).astype(np.float32)
    for path in written(tmp_path, array):
        directions = load_directions(path, stylegan)
        assert type(directions) is LayeredDirections
        assert torch.equal(directions.vectors(), torch.from_numpy(array).reshape(-1, K, L)), path.name
        assert directions.note["space"] == "w"


def test_what_a_plain_array_leaves_open_is_said_and_can_be_decided(stylegan, tmp_path):
    np.save(tmp_path / "smile.npy", files.rng().normal(size=(K, L)).astype(np.float32))
    with pytest.warns(
        UserWarning, match=r"one direction with a vector for each of 6 layers; to read it as 6 directions"
    ):
        assert load_directions(tmp_path / "smile.npy", stylegan).names == ["smile"]
    assert len(load_directions(tmp_path / "smile.npy", stylegan, per_layer=False)) == 6
    with pytest.warns(UserWarning, match="does not say which edit space .* any generator of its size takes it"):
        assert type(load_directions(tmp_path / "smile.npy")) is GlobalDirections
    assert len(load_directions(tmp_path / "smile.npy", per_layer=True)) == 1
    np.save(tmp_path / "face.npy", np.ones((18, 512), np.float32))  # what StyleGAN's encoders write
    assert load_directions(tmp_path / "face.npy").num_layers == 18
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_directions(tmp_path / "smile.npy", stylegan, space="w", per_layer=False)


def test_vectors_with_names_keep_them(tmp_path):
    age, smile = files.rows(2)
    np.savez(tmp_path / "two.npz", age=age, smile=smile[None])
    (tmp_path / "two.csv").write_text(
        "name;x\n"
        + "".join(f"{n};{';'.join(map(repr, map(float, row)))}\n" for n, row in (("age", age), ("smile", smile)))
    )
    torch.save({"age": torch.from_numpy(age), "smile": torch.from_numpy(smile)}, tmp_path / "two.pt")
    for name in ("two.npz", "two.csv", "two.pt"):
        directions = load_directions(tmp_path / name)
        assert directions.names == ["age", "smile"], name
        np.testing.assert_allclose(directions.vectors(), [age, smile], rtol=1e-6)


# -- spaces and fits --------------------------------------------------------------------------------------------------


def test_a_file_of_w_is_refused_by_a_generator_edited_in_z(stylegan, tmp_path):
    in_z = StyleGAN2(**{**stylegan.arguments(), "space": "z"})
    files.factor(tmp_path / "factor.pt")
    files.ganspace(tmp_path / "z.npz", np.ones(D))
    with pytest.raises(
        ValueError, match=r"belongs to the w space, .* edited in z: load it in that space, --set space=w"
    ):
        load_directions(tmp_path / "factor.pt", in_z)
    assert load_directions(tmp_path / "factor.pt", in_z, space="z").note["space"] == "z"
    with pytest.raises(ValueError, match=r"belongs to the z space, the generator is edited in w"):
        load_directions(tmp_path / "z.npz", stylegan)
    with pytest.raises(ValueError, match="found in the z space, the generator is edited in w"):
        load_directions(tmp_path / "factor.pt", stylegan, space="z")
    with pytest.warns(UserWarning, match="works in w; taken for z, the generator's only edit space"):
        load_directions(tmp_path / "factor.pt", Analytic("sprite", size=16, dead_dims=4))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((3, 7)), "live in 7 latent dimensions but the generator has 12"),
        (np.ones((1, 4, L)), "act on layers 0 to 3 of 4, with a vector for each, but the generator has 6"),
        (np.ones((L, 5)), "they seem to lie in columns; save the array's transpose"),
        (np.array([[1.0, np.nan] * 6]), "1?6 of 12 numbers are NaN, infinite"),
        (np.ones((1, L)) * 1e300, "12 of 12 numbers are NaN, infinite or beyond"),
        (
            np.ones((1, L), complex),
            r"expected real numbers, got complex ones, imaginary parts up to 0; save the real part",
        ),
        (np.stack([np.ones(L), np.zeros(L)]), "row 1 of 2 hold only zeros, which point nowhere"),
        (np.zeros((0, L)), r"holds nothing, its shape is \(0, 12\)"),
        (np.ones((2, 3, 4, L)), r"expected a vector \(L,\), directions \(D, L\).*, got \(2, 3, 4, 12\)"),
        (np.array(["a", "b"]), "expected numbers, got <U1"),
        (np.ones((300, L)), r"300 rows of 12 numbers are more than directions ever are; .* \(give them as --latents\)"),
    ],
)
def test_arrays_that_are_no_directions_of_this_generator(stylegan, array, message, tmp_path):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=message):
        load_directions(tmp_path / "a.npy", stylegan)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"mlp.0.weight": torch.ones(L, L), "mlp.0.bias": torch.ones(L)},
            r"a torch file of mlp.0.weight \(12, 12\), mlp",
        ),
        (
            {"state_dict": {"conv.weight": torch.ones(2, 3)}},
            "no directions known here: it is a torch file of state_dict",
        ),
        ({}, "a torch file of nothing"),
        ({"w": torch.ones(1, K, L)}, r"it is a torch file of w \(1, 6, 12\)"),
        ({"eigvec": torch.ones(L)}, r"expected eigvec of shape \(L, D\), got \(12,\)"),
        ({"lat_comp": torch.ones(3, 1, L)}, "is of GANSpace but has no lat_stdev"),
        ({"comp": torch.ones(3, 1, L), "std": torch.ones(2)}, "a positive std for each of the 3 components, got 2"),
        ({"comp": torch.ones(1, 1, L), "std": torch.zeros(1)}, "got 1, the smallest 0"),
        ({"log_mat_half": torch.ones(3, L)}, r"expected a square log_mat_half, got \(3, 12\)"),
        ({"linear.weight": torch.ones(L)}, r"expected linear.weight of shape \(L, D\), got \(12,\)"),
        ({"fc1.weight": torch.ones(5, L), "fc4.weight": torch.ones(L, 5)}, "is no deformator of the kind fc"),
        ({"model": {"params": torch.ones(3, 2, L)}}, r"expected params of shape \(D, L\), got \(3, 2, 12\)"),
        ({"nets.0.linear_1.weight": torch.ones(L, L), "other": torch.ones(1)}, "LatentCLR's models have no 'other'"),
        ({"nets.0.linear_1.weight": torch.ones(L, L), "nets.2.linear_1.weight": torch.ones(L, L)}, "2 up to nets.2"),
        (
            {"nets.0.linear_1.weight": torch.ones(9**5, 2), "nets.0.linear_2.weight": torch.ones(2, 3)},
            "the layers of its LatentCLR networks do not fit together",
        ),
        ({"boundary": torch.ones(1, L), "layers": torch.tensor([1, 9])}, "acts on layer 9, but the generator has 6"),
        ({"boundary": torch.ones(1, L), "layers": torch.tensor([1.5])}, "expected numbers of layers, each once"),
        ({"boundary": torch.ones(1, K, L), "layers": torch.tensor([1])}, "names layers besides; leave out its layers"),
        ([torch.ones(L), torch.ones(3)], r"expected a list of arrays of one shape, got \(12,\), \(3,\)"),
        ("text", "it is a torch file of a str"),
    ],
)
def test_torch_files_that_are_no_directions_say_what_they_hold(stylegan, content, message, tmp_path):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=message):
        load_directions(tmp_path / "a.pt", stylegan)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"three\nblind mice\n", "is a text file, and holds no row of numbers"),
        ("a.txt", b"1 2 3\n1 2\n", "line 2: expected 3 numbers, got '1 2'"),
        ("a.txt", b"1 2\n\xff\xfe3\n", "is not a CSV text file: .*can't decode byte 0xff"),
        ("a.csv", b"age,1,2\n1,2,3\n", "line 2: expected 2 numbers after a name"),
        ("a.csv", b"age,1,2\nage,2,3\n", "names two rows alike"),
        ("a.npy", b"\x93NUMPY\x01\x00v\x00{", "does not start like an array"),
        ("a.bin", b"\x00\x01\x02", "is no file known here"),
        ("a.pt", b"\x80\x04nonsense", "is not a whole torch file or pickle"),
        ("a.png", b"\x89PNG\r\n\x00", "is a PNG picture; expected directions of contrafact's"),
        ("a.npy", None, "does not exist; expected a run folder or a file of directions"),
    ],
)
def test_other_files_say_what_they_are(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_directions(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("a.csv", "# by hand\nwide;0,5;-1e-3\ntall;2;0\n", "utf-8"),
        ("a.csv", "name;x;y\nwide;0,5;-0,001\ntall;2;0\n", "utf-8-sig"),
        ("a.txt", "name\tx\ty\nwide\t0.5\t-0.001\ntall\t2\t0\n", "utf-16"),
        ("a.csv", "sep=;\nwide;0,5;-0,001\n\ntall;2;0\n", "utf-8"),
        ("a.txt", "wide 0.5 -0.001\ntall 2   0", "utf-8"),
        ("a.csv", "'wide', 0.5, -0.001,\n\"tall\", 2, 0,\n", "utf-8"),
    ],
)
def test_texts_are_read_as_tables_are(name, text, encoding, tmp_path):
    """Spreadsheets' delimiters, marks and commas of decimals; spaces and comments of ``np.savetxt``."""
    (tmp_path / name).write_bytes(text.encode(encoding))
    directions = load_directions(tmp_path / name)
    assert directions.names == ["wide", "tall"]
    expected = torch.tensor([[0.5, -0.001], [2.0, 0.0]])
    torch.testing.assert_close(directions.every(torch.zeros(1, 2), torch.ones(2)), expected)


def _mapper(prefix):
    return {f"{prefix}mapping.{number}.{part}": torch.ones(2, 2) for number in (1, 2) for part in ("weight", "bias")}


STYLECLIP = {
    "fs3.npy": (np.ones((60, L)), "a table of what each of 60 style channels does to CLIP's embedding"),
    "S": ([["G/4x4/Conv", "G/8x8/Conv"], [np.ones((5, 16)), np.ones((5, 8))]], "styles of the StyleSpace"),
    "S_mean_std": ([[np.ones(16), np.ones(8)], [np.ones(16), np.ones(8)]], "styles of the StyleSpace"),
    "angry.pt": ({"state_dict": {**_mapper("mapper.course_mapping."), "decoder.x": torch.ones(1)}}, "a mapper, a net"),
    "single.pt": ({"state_dict": _mapper("mapper."), "opts": {}}, "a mapper, a network that makes a step"),
}


@pytest.mark.parametrize("name", STYLECLIP)
@pytest.mark.parametrize("load", [load_directions, load_latents])
def test_styleclip_s_files_are_called_by_their_name(load, name, stylegan, tmp_path):
    content, what = STYLECLIP[name]
    path = tmp_path / name
    if name.endswith(".npy"):
        np.save(path, content)
    elif name.endswith(".pt"):
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=rf"is StyleCLIP's: {what}.*Edit in its program and give the latents of W\+"):
        load(path, stylegan)


def test_options_that_decide_nothing_are_refused(stylegan, tmp_path):
    files.factor(tmp_path / "factor.pt")
    own = convert_directions(tmp_path / "factor.pt", tmp_path / "own.safetensors")
    assert torch.equal(load_directions(tmp_path / "own.safetensors", stylegan).vectors(), own.vectors())
    with pytest.raises(ValueError, match="says how its directions lie: leave out per_layer"):
        load_directions(tmp_path / "factor.pt", per_layer=True)
    with pytest.raises(ValueError, match="contrafact's own and says all about its directions"):
        load_directions(tmp_path / "own.safetensors", space="w")
    with pytest.raises(ValueError, match=r"space is z .* or w"):
        load_directions(tmp_path / "factor.pt", space="s")
    with pytest.raises(ValueError, match=r"must be called \*.safetensors"):
        convert_directions(tmp_path / "factor.pt", tmp_path / "own.npy")
    with pytest.raises(ValueError, match="is the source itself"):
        convert_directions(tmp_path / "own.safetensors", tmp_path / "own.safetensors")
    np.savez(tmp_path / "sefa.npz", boundaries=files.rows(), layers=[0, 1])
    with pytest.raises(ValueError, match="acts on the style layers 0, 1 of a generator: name it"):
        cf.load_directions(tmp_path / "sefa.npz")

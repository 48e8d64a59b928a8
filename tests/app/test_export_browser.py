"""The exported page in a real browser, opened from its file: its pixels are the generator's, and nothing is fetched."""

import base64
import gzip
import json
import re
import shlex
import shutil
from types import SimpleNamespace
from urllib.parse import quote, urlencode

import numpy as np
import pytest
import torch

from contrafact.app import assets
from contrafact.app.again import command_again
from contrafact.app.export import export_page
from contrafact.app.session import Session
from contrafact.app.state import Between, Drawn, Photo, State
from contrafact.core.direction_files import load_directions
from contrafact.core.directions import GlobalDirections
from contrafact.core.pictures import to_bytes
from contrafact.editing.latents import StoredLatents, load_latents
from contrafact.generators.analytic import Analytic
from contrafact.generators.rectified_flow import RectifiedFlow
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.methods.random import Random
from contrafact.nn.encoders import ConvEncoder
from contrafact.report.subject import Subject
from tests.conftest import quiet
from tests.report.test_page_browser import luminance

pytestmark = pytest.mark.browser

NAMES = ["</script><b>bold</b>", "שלום", "plain"]


@pytest.fixture(scope="module")
def session():
    torch.manual_seed(0)
    generator = StyleGAN2(8, 12, 8, channels=[6, 4], mapping_layers=2, classes=3, label=1)
    rng = torch.Generator().manual_seed(0)
    vectors = torch.randn(3, 12, generator=rng)
    directions = GlobalDirections.of(vectors, 0.5, NAMES, layers=(0, 3), num_layers=4)
    encoder = ConvEncoder(generator.image_shape, 5, 0.1).requires_grad_(False).eval()
    found = Session(Subject(generator.freeze(), directions.requires_grad_(False), encoder, None, "direction"))
    latents = torch.randn(2, 4, 12, generator=rng)
    found.latents = StoredLatents.of(generator, latents, ["a cat.png", "a dog.png"])
    return found


@pytest.fixture(scope="module")
def file(session, runtime, tmp_path_factory):
    return export_page(session, tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture(scope="module")
def gpu_file(session, file, tmp_path_factory):
    """The page that may use WebGPU, with the graphs of the other one: to make them again takes seconds."""

    def held(name):
        packed = re.search(f'id="data-{name}">([^<]*)<', file.read_text("utf-8"))
        return gzip.decompress(base64.b64decode(packed[1]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("contrafact.app.export.picture_graph", lambda *_: held("graph"))
        patch.setattr("contrafact.app.export.reading_graph", lambda *_: held("reader"))
        return export_page(session, tmp_path_factory.mktemp("page") / "gpu.html", webgpu=True)


@pytest.fixture(scope="module")
def opened(browser, file):
    page = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light")
    problems, requests = [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector("#main[data-shows='seed=0']")
    yield page
    page.close()
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture
def page(opened):
    go(opened, "seed=0")
    return opened


def go(page, state, view=""):
    page.evaluate("hash => { location.hash = hash; }", state + view)
    page.wait_for_selector(f"#main[data-shows='{state}']")


def shown(page, canvas="#main"):
    width, values = page.eval_on_selector(
        canvas, "c => [c.width, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]"
    )
    return np.array(values).reshape(-1, width, 4)[..., :3]


STEPS = [
    ("", ()),
    ("&move=0%3A1.5", ((0, 1.5),)),
    ("&move=1%3A-2", ((1, -2.0),)),
    ("&move=0%3A0.7%2C2%3A-4.25", ((0, 0.7), (2, -4.25))),
    ("&move=0%3A3%2C1%3A-1%2C2%3A2.5", ((0, 3.0), (1, -1.0), (2, 2.5))),
]


@pytest.mark.parametrize(("moved", "steps"), STEPS, ids=["none", "one", "other", "two", "all"])
@pytest.mark.parametrize(
    ("name", "latent"), [("seed=0", Drawn(0)), ("seed=7", Drawn(7)), ("photo=a+dog.png", Photo("a dog.png"))]
)
def test_pixels_are_the_generator_s(page, session, name, latent, moved, steps):
    go(page, name + moved)
    expected = to_bytes(session.render([State(latent, steps)]))[0].astype(int)
    assert np.abs(shown(page) - expected).max() <= 1


def test_layers_and_truncation_are_the_generator_s(page, session):
    go(page, "seed=2&move=1%3A3&layers=2-3&truncation=0.4")
    expected = to_bytes(session.render([State(Drawn(2), ((1, 3.0),), (2, 3), 0.4)]))[0].astype(int)
    assert np.abs(shown(page) - expected).max() <= 1
    assert "layer 2" in page.inner_text("#layers")


def test_codes_are_the_encoder_s(page, session):
    go(page, "seed=3&move=0%3A2")
    codes = session.codes(session.render([State(Drawn(3), ((0, 2.0),))]))[0]
    read = [float(text.replace("−", "-")) for text in page.locator("#codes output").all_inner_texts()]
    np.testing.assert_allclose(read, codes.numpy(), atol=0.02, rtol=0.02)


def test_what_changes_is_grey_where_nothing_does(page):
    go(page, "seed=0", "&view=change")
    assert (shown(page) == 128).all()
    go(page, "seed=0&move=0%3A3", "&view=change")
    assert np.abs(shown(page) - 128).max() > 20


def test_a_renamed_direction_is_in_the_file_of_directions(page, session, tmp_path):
    go(page, "seed=0&move=1%3A2%2C2%3A1")
    page.click(".slider[data-number='2'] .name")
    page.keyboard.type("sleepy <eyes>")
    page.keyboard.press("Enter")
    with page.expect_download() as waiting:
        page.click("#keep button:text('Directions')")
    waiting.value.save_as(tmp_path / "mine.safetensors")
    kept = load_directions(tmp_path / "mine.safetensors")
    assert kept.names == [NAMES[1], "sleepy <eyes>"]
    latent = session.generator.sample(2, seed=1)
    index = torch.tensor([0, 1])
    torch.testing.assert_close(kept(latent, index, 1.5), session.directions(latent, index + 1, 1.5))


def test_a_kept_latent_is_read_again(page, session, tmp_path):
    go(page, "photo=a+cat.png")
    with page.expect_download() as waiting:
        page.click("#keep button:text('Latent')")
    waiting.value.save_as(tmp_path / "latent.safetensors")
    stored = load_latents(tmp_path / "latent.safetensors")
    stored.check_fit(session.generator)
    assert torch.equal(stored.latents, session.latents.latents[:1])


def test_a_kept_picture_is_the_one_on_show(page, tmp_path):
    from PIL import Image

    go(page, "seed=5&move=0%3A2")
    with page.expect_download() as waiting:
        page.click("#keep button:text('Picture')")
    waiting.value.save_as(tmp_path / "picture.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "picture.png").convert("RGB")), shown(page))


def test_a_kept_animation_begins_before_and_turns_at_the_edit(page, session, tmp_path):
    from PIL import Image

    go(page, "seed=5&move=0%3A2")
    with page.expect_download() as waiting:
        page.click("#keep button:text('GIF')")
    waiting.value.save_as(tmp_path / "edit.gif")
    film = Image.open(tmp_path / "edit.gif")
    states = [State(Drawn(5)), State(Drawn(5), ((0, 2.0),))]
    before, after = (picture.astype(int) for picture in to_bytes(session.render(states)))
    assert film.n_frames == 38
    for number, expected in ((0, before), (19, after)):
        film.seek(number)
        frame = np.asarray(film.convert("RGB")).astype(int)
        factor = frame.shape[0] // expected.shape[0]
        # 256 colours for all frames: near, and nearer to its own picture than to the other.
        assert np.abs(frame[::factor, ::factor] - expected).mean() < 6


def test_a_film_recorded_by_the_browser_begins_before_and_reaches_the_edit(page, session, tmp_path):
    av = pytest.importorskip("av")
    go(page, "seed=5&move=0%3A2")
    with page.expect_download() as waiting:
        page.click("#keep button:text('WebM')")
    waiting.value.save_as(tmp_path / "edit.webm")
    with av.open(str(tmp_path / "edit.webm")) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    states = [State(Drawn(5)), State(Drawn(5), ((0, 2.0),))]
    before, after = (picture.astype(int) for picture in to_bytes(session.render(states)))
    assert frames[0].shape == (256, 256, 3)
    # The centres of the enlarged pixels; a recorder under load leaves frames out, and compresses what it keeps.
    to_edit = [np.abs(frame[16::32, 16::32] - after).mean() for frame in frames]
    assert np.abs(frames[0][16::32, 16::32] - before).mean() < min(15, to_edit[0])
    assert min(to_edit) < 15


@pytest.mark.parametrize(
    ("link", "state"),
    [
        ("seed=6", State(Drawn(6))),
        ("seed=6&move=0%3A-1.5%2C2%3A0.25", State(Drawn(6), ((0, -1.5), (2, 0.25)))),
        ("seed=6&move=1%3A2&layers=1-3&truncation=0.5", State(Drawn(6), ((1, 2.0),), (1, 3), 0.5)),
    ],
)
def test_the_lines_shown_make_the_picture_again(page, session, link, state):
    go(page, link)
    command, python = page.locator("#keep code").all_inner_texts()
    assert [*shlex.split(command), "--out", "edited"] == sorted_as(shlex.split(command_again({}, state)))
    made = {"run": SimpleNamespace(generator=session.generator, directions=session.directions)}
    exec(python, made)
    assert torch.equal(made["image"], session.render([state]))


def sorted_as(words):
    """With the truncation where the page says it, at the end."""
    if "--truncation" not in words:
        return words
    place = words.index("--truncation")
    return [*words[:place], *words[place + 2 : -2], *words[place : place + 2], *words[-2:]]


def test_typed_values_double_click_and_undo(page):
    slider, value = ".slider[data-number='0'] input[type=range]", ".slider[data-number='0'] .value"
    page.fill(value, "-1,25")
    page.keyboard.press("Enter")
    page.wait_for_selector("#main[data-shows='seed=0&move=0%3A-1.25']")
    page.dblclick(slider)
    page.wait_for_selector("#main[data-shows='seed=0']")
    page.click("#undo")
    assert "-1.25" in page.url
    page.click("#redo")
    page.wait_for_selector("#main[data-shows='seed=0']")
    assert page.input_value(value) == "0"


def test_ten_quick_moves_end_in_the_last(page, session):
    page.eval_on_selector(
        ".slider[data-number='1'] input[type=range]",
        "s => { for (let i = 1; i <= 10; i++) { s.value = i / 4; s.dispatchEvent(new Event('input')); } "
        "s.dispatchEvent(new Event('change')); }",
    )
    page.wait_for_selector("#main[data-shows='seed=0&move=1%3A2.5']")
    expected = to_bytes(session.render([State(Drawn(0), ((1, 2.5),))]))[0].astype(int)
    assert np.abs(shown(page) - expected).max() <= 1


def test_keyboard_only(page):
    page.evaluate("document.activeElement.blur()")
    order = page.eval_on_selector_all("#sliders .slider", "rows => rows.map((row) => row.dataset.number)")
    page.keyboard.press("1")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_selector(f"#main[data-shows='seed=0&move={order[0]}%3A1.1']")
    page.keyboard.press("Delete")
    page.keyboard.press("]")
    page.wait_for_selector("#main[data-shows='seed=1']")
    page.keyboard.press("d")
    assert page.get_attribute("#views [aria-checked=true]", "data-view") == "change"
    page.keyboard.press("d")
    page.keyboard.press("p")
    page.keyboard.press("Control+z")
    page.keyboard.press("?")
    assert page.is_visible("#keys")
    page.keyboard.press("Escape")
    assert page.locator(".pin").count() == 1
    page.click(".pin .remove")


def test_between_two_pins(page, session):
    page.click("#pin")
    go(page, "seed=4&move=0%3A2")
    page.click("#pin")
    page.eval_on_selector("#between", "s => { s.value = 0.5; s.dispatchEvent(new Event('input')); }")
    page.wait_for_selector("#main[data-shows*='between']")
    first, last = (session.generator.sample(1, seed=seed) for seed in (0, 4))
    moved = session.directions((first + last) / 2, 0, 1.0)
    expected = to_bytes(session.generator(moved))[0].astype(int)
    assert np.abs(shown(page) - expected).max() <= 1
    for _ in range(2):
        page.click(".pin .remove")


def test_noise_turns_between_two_samples(browser, runtime, tmp_path):
    torch.manual_seed(0)
    generator = RectifiedFlow.tiny().freeze()
    directions = GlobalDirections.of(
        torch.eye(generator.edit_dim)[:1], 1.0, columns=generator.edit_columns, num_layers=3
    )
    session = Session(Subject(generator, directions.requires_grad_(False), None, None, "direction"))
    page = browser.new_page()
    page.goto(export_page(session, tmp_path / "page.html").as_uri())
    between = json.dumps({"between": [{"seed": 0}, {"seed": 4}, 0.25]}, separators=(",", ":"))
    go(page, urlencode({"latent": between, "move": "0:2"}))
    expected = to_bytes(session.render([State(Between(Drawn(0), Drawn(4), 0.25), ((0, 2.0),))]))[0].astype(int)
    assert np.abs(shown(page) - expected).max() <= 1
    page.close()


def test_the_plane_moves_both_of_its_directions(page, session):
    page.click("#plane-box summary")
    page.focus(".pad")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    axes = page.eval_on_selector_all(".axes select", "all => all.map((select) => Number(select.value))")
    limits = {direction["number"]: direction["limit"] for direction in session.facts()["directions"]}
    moved = "%2C".join(f"{number}%3A{min(1.0, limits[number]):g}" for number in sorted(axes))
    page.wait_for_selector(f"#main[data-shows='seed=0&move={moved}']")
    page.click("#plane-box summary")


def test_few_pixels_are_squares_until_they_are_to_be_blended(page):
    def drawn():
        return page.eval_on_selector("#main", "c => getComputedStyle(c).imageRendering")

    assert (drawn(), page.get_attribute("#smooth", "aria-pressed")) == ("pixelated", "false")
    page.keyboard.press("m")
    assert (drawn(), page.get_attribute("#smooth", "aria-pressed")) == ("auto", "true")
    assert page.url.endswith("#seed=0&smooth=yes")
    go(page, "seed=1")
    assert drawn() == "pixelated", "a link without a word on it is drawn as its size says"
    go(page, "seed=2", "&smooth=yes")
    assert drawn() == "auto"
    page.click("#smooth")
    assert drawn() == "pixelated"
    assert page.url.endswith("#seed=2"), "what is so by itself is not in the link"


@pytest.mark.parametrize("width", [360, 768, 1280, 3840])
def test_the_page_fits_its_window(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.eval_on_selector("#main", "c => c.getBoundingClientRect().width") >= min(width, 1000) * 0.3
    page.set_viewport_size({"width": 1200, "height": 900})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_have_contrast(page, scheme):
    page.emulate_media(color_scheme=scheme)
    ground = luminance(page, "body", "backgroundColor")
    assert (ground > 0.5) == (scheme == "light")
    for element in ("body", "#about", ".name", ".value", ".code", ".soft"):
        text = luminance(page, element, "color")
        assert (max(ground, text) + 0.05) / (min(ground, text) + 0.05) >= 4.5, element
    page.emulate_media(color_scheme="light")


def test_every_control_has_a_name(page):
    nameless = page.eval_on_selector_all(
        "button, input:not([hidden]), select, canvas[role], [tabindex]",
        "all => all.filter((e) => !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim()))"
        ".map((e) => e.outerHTML)",
    )
    assert nameless == []


def test_names_are_texts(page):
    assert page.locator("#sliders b").count() == 0
    assert NAMES[0] in page.locator(".name").all_inner_texts()
    assert page.eval_on_selector(f".name:text('{NAMES[1]}')", "e => getComputedStyle(e).direction") == "rtl"


def test_numbers_that_are_no_picture_are_said_and_the_page_goes_on(page):
    values = base64.b64encode(np.full(12, 3e38, np.float32).tobytes()).decode()
    page.evaluate("hash => { location.hash = hash; }", f"latent={quote(json.dumps({'values': values}))}")
    page.wait_for_selector("#message.serious:text('no finite numbers')")
    go(page, "seed=1")
    assert page.is_hidden("#message")


def test_a_link_of_another_page_is_refused(page):
    for bad in (
        "move=0%3A1",
        "seed=-1",
        "seed=1e9",
        "seed=0&move=99%3A1",
        "photo=nobody",
        "latent=%7B%7D",
        "seed=0&layers=3-99",
    ):
        page.evaluate("hash => { location.hash = hash; }", bad)
    page.wait_for_timeout(100)
    assert page.get_attribute("#main", "data-shows") == "seed=0"
    assert json.loads(page.inner_text("#facts") or page.text_content("#facts"))["engine"] == "onnx"


def test_a_frame_of_a_notebook_without_a_server_holds_the_whole_page(browser, file, monkeypatch, tmp_path):
    exported = []

    def export(session, out):
        """The page at hand: to make another one takes seconds, and shows no more."""
        exported.append(session)
        out.write_bytes(file.read_bytes())
        return out

    monkeypatch.setattr("contrafact.app.export.export_page", export)
    run = Random(num_directions=2).fit(Analytic("sprite", size=16), quiet(tmp_path / "run"))
    explorer = run.explore(live=False)
    assert (explorer.address, repr(explorer)) == (None, "Explorer(in this cell)")
    assert exported[0].facts()["title"] == "run"
    assert exported[0].directions is run.directions

    notebook = tmp_path / "notebook.html"
    notebook.write_text(f"<!doctype html><meta charset=utf-8>{explorer._repr_html_()}", encoding="utf-8")
    page = browser.new_page()
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(notebook.as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("#main[data-shows='seed=0']").wait_for()
    frame.locator("#seed-more").click()
    frame.locator("#main[data-shows='seed=1']").wait_for()
    page.keyboard.press("d")
    assert frame.locator("#views [aria-checked=true]").get_attribute("data-view") == "change"
    frame.locator("#undo").click()
    frame.locator("#main[data-shows='seed=0']").wait_for()
    assert frame.locator("#keep button:text('Link')").count() == 0, "a frame has no address"
    page.close()
    assert problems == []


def opened_on(browser, file, processor=""):
    """A page whose address asks for a processor, and what its console says."""
    page = browser.new_page()
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(file.as_uri() + processor)
    page.wait_for_selector("#main[data-shows='seed=0']", timeout=60_000)
    return page, problems


def check_pixels(page, session):
    for name, latent in (("seed=0", Drawn(0)), ("seed=7", Drawn(7)), ("photo=a+dog.png", Photo("a dog.png"))):
        for moved, steps in STEPS:
            go(page, name + moved)
            expected = to_bytes(session.render([State(latent, steps)]))[0].astype(int)
            assert np.abs(shown(page) - expected).max() <= 1, (name, moved)


def test_without_a_graphics_processor_the_page_works_on_the_other(browser, gpu_file, session):
    page, problems = opened_on(browser, gpu_file)
    assert page.inner_text("#about").endswith("on the processor")
    go(page, "seed=7&move=0%3A1.5")
    expected = to_bytes(session.render([State(Drawn(7), ((0, 1.5),))]))[0].astype(int)
    assert np.abs(shown(page) - expected).max() <= 1
    page.close()
    assert problems == []


@pytest.mark.slow
def test_webgpu_makes_the_same_pixels_and_its_loss_is_survived(browser, gpu_file, session):
    """With Chromium's software adapter, which no page would take by itself."""
    flags = ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]
    other = browser.browser_type.launch(executable_path=shutil.which("chromium"), args=flags)
    page, problems = opened_on(other, gpu_file)
    assert page.inner_text("#about").endswith("on the processor"), "a software adapter is never sooner"
    page.close()
    page, more = opened_on(other, gpu_file, "?on=webgpu")
    if not page.evaluate("navigator.gpu?.requestAdapter().then(Boolean)"):
        pytest.skip("this Chromium has no software adapter")
    assert page.inner_text("#about").endswith("on WebGPU")
    check_pixels(page, session)
    page.workers[0].evaluate("Promise.resolve(ort.env.webgpu.device).then((device) => device.destroy())")
    check_pixels(page, session)
    other.close()
    assert [*problems, *more] == []


def test_a_picture_is_reduced_by_averaging(browser):
    page = browser.new_page()
    sizes = page.evaluate(
        """async (text) => {
            const { paintReduced, pixelsOf } = await import(`data:text/javascript,${encodeURIComponent(text)}`);
            return [[200, 100], [40, 20]].map(([width, height]) => {
                // Columns of black and white: their mean is grey, and one of them alone is not.
                const rgba = Uint8ClampedArray.from(
                    { length: 4 * width * height }, (_, i) => (i % 4 === 3 || (i >> 2) % 2 ? 255 : 0));
                const canvas = document.createElement("canvas");
                paintReduced(canvas, { width, height, rgba }, 50);
                return [canvas.width, canvas.height, ...pixelsOf(canvas).data.slice(4 * 630, 4 * 630 + 4)];
            });
        }""",
        assets.text_of("pixels.js"),
    )
    page.close()
    assert sizes[1] == [40, 20, 0, 0, 0, 255], "as it is"
    assert sizes[0][:2] == [50, 25]
    assert all(abs(value - 127.5) <= 8 for value in sizes[0][2:5]), sizes[0]
    assert sizes[0][5] == 255

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from contrafact.core.directions import GlobalDirections
from contrafact.core.pictures import to_bytes
from contrafact.generators.analytic import Analytic
from contrafact.report.comparison import Contender
from contrafact.report.study import QUESTIONS, StudySettings, make_study
from contrafact.report.study_score import StudyScore, score_study, study_text
from tests.report.test_sheets import cells_found


@pytest.fixture(scope="module")
def contenders():
    scene = Analytic("sprite", size=16)
    first = GlobalDirections.of(scene.true_directions()[:3], names=["across", "down", "size"])
    return [Contender("first", scene, first), Contender("second", scene, GlobalDirections.of(torch.eye(8)[:2]))]


@pytest.fixture
def pack(contenders, tmp_path):
    return make_study(contenders, tmp_path / "study", settings=StudySettings(participants=3, images=2, pool=6, seed=5))


def table(path):
    return list(csv.reader(path.read_text().splitlines()))


def answer(pack, participant, answers, question="change"):
    """Fill in a participant's file; ``answers`` by direction number."""
    path = pack / participant / f"{participant}.csv"
    key = json.loads((pack / "key.json").read_text())["participants"][participant]["pictures"]
    head, *rows = table(path)
    column = head.index(question)
    for row in rows:
        row[column] = answers[key[row[0]]["direction"]]
    path.write_text("\n".join(",".join(row) for row in [head, *rows]) + "\n")


# -- making -----------------------------------------------------------------------------------------------------------


def test_everybody_gets_every_direction_once_in_an_order_of_their_own(pack):
    key = json.loads((pack / "key.json").read_text())
    assert [d["name"] for d in key["directions"]] == ["across", "down", "size", "direction 0", "direction 1"]
    assert [d["run"] for d in key["directions"]] == ["first"] * 3 + ["second"] * 2
    orders = []
    for name, sent in key["participants"].items():
        folder = pack / name
        assert sorted(p.name for p in folder.iterdir()) == sorted([*sent["pictures"], f"{name}.csv", "study.html"])
        order = [sent["pictures"][picture]["direction"] for picture in sorted(sent["pictures"])]
        assert sorted(order) == [0, 1, 2, 3, 4]
        head, *rows = table(folder / f"{name}.csv")
        assert (head[0], sorted(head[1:])) == ("picture", ["change", "meaningful"])
        assert rows == [[picture, "", ""] for picture in sorted(sent["pictures"])]
        assert all(len(set(seen["images"])) == 2 for seen in sent["pictures"].values())
        orders.append(order)
    assert len({tuple(order) for order in orders}) > 1


def test_pictures_show_what_the_key_says(pack, contenders):
    """Backwards, unchanged, forwards, from the pool's latents: made again one by one."""
    key = json.loads((pack / "key.json").read_text())
    pool = contenders[0].generator.sample(6, torch.Generator().manual_seed(5))
    for picture, seen in key["participants"]["participant_02"]["pictures"].items():
        described = key["directions"][seen["direction"]]
        who = contenders[["first", "second"].index(described["run"])]
        shown = Image.open(pack / "participant_02" / picture).convert("RGB")
        cells = [
            to_bytes(who.generator(who.directions(pool[[number]], described["number"], magnitude)))[0]
            for number in seen["images"]
            for magnitude in (-2.5, 0.0, 2.5)
        ]
        assert all(cells_found(shown, cell, 6) >= 1 for cell in cells)
        left = np.asarray(shown)[14 : 14 + 96, 28 - 14 : 28 - 14 + 96]
        np.testing.assert_array_equal(left, np.kron(cells[0], np.ones((6, 6, 1), np.uint8)))


@pytest.mark.parametrize(("asked", "expected"), [({}, [2.5, 8.0]), ({"magnitude": 3.0}, [3.0, 3.0])])
def test_images_move_as_far_as_each_generators_figures_do(tmp_path, asked, expected):
    """As a diffusion model's h needs; a magnitude that is asked for wins."""
    near, far = Analytic("sprite", size=16), Analytic("sprite", size=16)
    far.figure_span = 8.0
    size = GlobalDirections.of(near.true_directions()[2:3])
    contenders = [Contender("near", near, size), Contender("far", far, size)]
    settings = StudySettings(participants=1, images=1, pool=1, **asked)
    folder = make_study(contenders, tmp_path / "study", settings=settings)
    key = json.loads((folder / "key.json").read_text())
    assert [described["magnitude"] for described in key["directions"]] == expected
    pool = near.sample(1, torch.Generator().manual_seed(0))
    for picture, seen in key["participants"]["participant_01"]["pictures"].items():
        left, right = (to_bytes(near(size(pool, 0, s * expected[seen["direction"]])))[0] for s in (-1.0, 1.0))
        shown = Image.open(folder / "participant_01" / picture).convert("RGB")
        assert cells_found(shown, left, 6) >= 1
        assert cells_found(shown, right, 6) >= 1


def test_nothing_a_participant_gets_names_a_method_or_a_direction(pack):
    for path in (pack / "participant_01").iterdir():
        content = path.read_bytes()
        assert not any(word in content for word in (b"first", b"second", b"across", b"direction"))


def test_the_same_seed_makes_the_same_study(contenders, tmp_path):
    settings = StudySettings(participants=1, images=1, pool=3)
    one, two = (make_study(contenders, tmp_path / name, settings=settings) for name in "ab")
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert all((one / f).read_bytes() == (two / f).read_bytes() for f in files)
    other = make_study(contenders, tmp_path / "c", settings=StudySettings(participants=1, images=1, pool=3, seed=1))
    assert (other / "key.json").read_text() != (one / "key.json").read_text()


def test_some_directions_of_each(contenders, tmp_path):
    folder = make_study(contenders, tmp_path / "s", [["size"], [1]], StudySettings(participants=1, images=1, pool=2))
    assert [d["number"] for d in json.loads((folder / "key.json").read_text())["directions"]] == [2, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"participants": 0}, "participants must be a whole number of at least 1, got 0"),
        ({"images": 7, "pool": 6}, "a picture of 7 images cannot be drawn from a pool of 6"),
        ({"magnitude": -1.0}, "magnitude must be above 0, got -1.0"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        StudySettings(**settings)


def test_making_refuses(contenders, pack):
    with pytest.raises(ValueError, match="a study needs at least one run"):
        make_study([], pack / "new")
    with pytest.raises(ValueError, match="is not empty; a study would mix with what is there"):
        make_study(contenders, pack)
    with pytest.raises(ValueError, match="a choice of directions for each of 2 runs, got 1"):
        make_study(contenders, pack / "new", [[0]])


# -- scoring ----------------------------------------------------------------------------------------------------------

SAID = {
    "participant_01": ["yes", "yes", "no", "maybe", "no"],
    "participant_02": ["yes", "maybe", "no", "no", "no"],
    "participant_03": ["yes", "no", "yes", "no", ""],
}


@pytest.fixture
def answered(pack):
    for participant, answers in SAID.items():
        answer(pack, participant, answers)
    return pack


def test_score_against_a_hand_count(answered):
    score = score_study(answered)
    assert (score.runs, score.participants) == (("first", "second"), tuple(SAID))
    # Of the first run's three directions, each participant: 2 yes 0 maybe 1 no; 1, 1, 1; 2, 0, 1.
    assert score.counts("change", "first").tolist() == [[2, 0, 1], [1, 1, 1], [2, 0, 1]]
    assert score.counts("change", "second").tolist() == [[0, 1, 1], [0, 0, 2], [0, 0, 1]]
    assert score.counts("meaningful", "first").shape == (0, 3)
    shares = score.shares("change")
    np.testing.assert_allclose(shares[:3], [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [1 / 3, 0, 2 / 3]])
    np.testing.assert_allclose(shares[3:], [[0, 1 / 3, 2 / 3], [0, 0, 1]])
    # Pairs of participants who agree: 3 of 3, 0 of 3, 1 of 3, 1 of 3, 1 of 1.
    np.testing.assert_allclose(score.agreement("change"), [1, 0, 1 / 3, 1 / 3, 1])
    # All answers: 5 yes, 2 maybe, 7 no of 14.
    chance = (25 + 4 + 49) / 196
    assert score.kappa("change") == pytest.approx((8 / 15 - chance) / (1 - chance))
    assert np.isnan(score.agreement("meaningful")).all()
    assert np.isnan(score.kappa("meaningful"))


def test_text_gives_mean_and_spread(answered):
    text = study_text(score_study(answered))
    assert text.startswith("3 participants, 5 directions")
    # yes: 2, 1, 2; maybe: 0, 1, 0; no: 1, 1, 1; two of three directions are not answered with no.
    assert "first   yes 1.67 ± 0.58, maybe 0.33 ± 0.58, no 1.00 ± 0.00 directions; not no: 66.7 ± 0.0 %" in text
    assert "second  yes 0.00 ± 0.00, maybe 0.33 ± 0.58, no 1.33 ± 0.58 directions; not no: 16.7 ± 28.9 %" in text
    assert "no answers" in text
    assert "first down" in text


def test_a_study_of_one_question_is_scored_on_it(answered):
    key = json.loads((answered / "key.json").read_text())
    key["questions"] = {"change": key["questions"]["change"]} if isinstance(key["questions"], dict) else ["change"]
    (answered / "key.json").write_text(json.dumps(key))
    text = study_text(score_study(answered))
    assert QUESTIONS["change"] in text
    assert QUESTIONS["meaningful"] not in text


def test_kappa_counts_pairs():
    """Pairs of participants who agree, counted one by one, against pairs of all answers drawn with replacement."""
    rng = np.random.default_rng(0)
    answers = np.where(rng.random((6, 9)) < 0.6, rng.integers(3, size=9), rng.integers(3, size=(6, 9)))
    score = StudyScore(tuple({"run": "r"} for _ in range(9)), ("r",), tuple("abcdef"), {"q": answers})
    agreed = [np.mean([column[i] == column[j] for i in range(6) for j in range(6) if i != j]) for column in answers.T]
    everything = answers.ravel()
    chance = np.mean([one == other for one in everything for other in everything])
    assert score.agreement("q") == pytest.approx(agreed)
    assert score.kappa("q") == pytest.approx((np.mean(agreed) - chance) / (1 - chance))
    same = StudyScore(score.directions, ("r",), tuple("abcdef"), {"q": np.tile(np.arange(9) % 3, (6, 1))})
    assert same.kappa("q") == pytest.approx(1.0)


def test_spreadsheets_of_all_countries_and_spellings(answered):
    path = answered / "participant_01" / "participant_01.csv"
    text = path.read_text().replace(",", ";").replace("yes", " Yes").replace("no", "NO").replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert score_study(answered).counts("change", "first").tolist() == [[2, 0, 1], [1, 1, 1], [2, 0, 1]]


def test_files_that_came_back_to_another_folder(answered, tmp_path):
    back = tmp_path / "back"
    back.mkdir()
    (answered / "participant_02" / "participant_02.csv").rename(back / "participant_02.csv")
    score = score_study(back, answered / "key.json")
    assert score.participants == ("participant_02",)
    assert score.counts("change", "first").tolist() == [[1, 1, 1]]
    assert np.isnan(score.agreement("change")).all()


def break_(pack, how):
    path = pack / "participant_01" / "participant_01.csv"
    text = path.read_text()
    if how == "word":
        path.write_text(text.replace("yes", "perhaps", 1))
    elif how == "column":
        path.write_text(text.replace("meaningful", "sense"))
    elif how == "row":
        path.write_text("\n".join(text.splitlines()[:-1]) + "\n")
    elif how == "stranger":
        (pack / "budget.csv").write_text("a,b\n")
    elif how == "twice":
        (pack / "participant_01.csv").write_text(text)
    elif how == "key":
        (pack / "key.json").write_text("[]")
    elif how.startswith("{"):
        key = json.loads((pack / "key.json").read_text())
        (pack / "key.json").write_text(json.dumps({**key, **json.loads(how)}))
    elif how == "binary":
        path.write_bytes(b"\xff\xfe\0")
    elif how == "gone":
        (pack / "key.json").unlink()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("word", r"participant_01.csv, line \d, column change: expected yes, maybe or no, got 'perhaps'"),
        ("column", "does not hold the columns picture, .* and the 5 pictures that were sent out"),
        ("row", "does not hold the columns picture, .* and the 5 pictures that were sent out"),
        ("stranger", r"budget.csv belongs to no participant of this study \(there are 3\)"),
        ("twice", "participant_01 answered in two files, .*; keep one of them"),
        ("key", "is not the key of a study"),
        ("gone", "key.json does not exist"),
        ("binary", "participant_01.csv is not a CSV text file"),
        ('{"directions": [1]}', "is not the key of a study: direction 0: expected an object with run, name, got 1"),
        ('{"directions": []}', "is not the key of a study: participant_0., .*there is no direction"),
        ('{"questions": ["why"]}', "is not the key of a study: participant_01 was not asked why"),
        (
            '{"questions": []}',
            "is not the key of a study: its questions must be among change, meaningful; take the key",
        ),
        ('{"participants": []}', "is not the key of a study: 'participants' must be an object"),
        ('{"participants": {"participant_01": {}}}', "key of a study: participant_01: 'questions' must be a list"),
    ],
)
def test_scoring_refuses(answered, how, message):
    break_(answered, how)
    with pytest.raises(ValueError, match=message):
        score_study(answered)


def test_no_answers_yet(pack):
    with pytest.raises(ValueError, match="holds no answers yet"):
        score_study(pack)
    with pytest.raises(ValueError, match="is no folder; expected one that holds filled"):
        score_study(pack / "nowhere")


@pytest.mark.browser
def test_the_page_saves_what_was_answered(pack, browser):
    page = browser.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((pack / "participant_01" / "study.html").as_uri())
    assert page.inner_text("#count") == "0 of 10 questions answered"
    assert page.locator("section img").evaluate_all("images => images.every((i) => i.naturalWidth > 0)")
    assert page.locator("section").first.locator("legend").all_inner_texts() != []
    pictures = page.locator("section")
    for number in range(pictures.count()):
        for question in range(2):
            value = ("yes", "maybe", "no")[(number + question) % 3]
            pictures.nth(number).locator("fieldset").nth(question).locator(f"input[value={value}]").check()
    assert page.inner_text("#count") == "10 of 10 questions answered"
    page.wait_for_timeout(2000)  # Chromium stores in the background; nobody reloads within a millisecond
    page.reload()
    assert page.inner_text("#count") == "10 of 10 questions answered"
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename == "participant_01.csv"
    target = pack / "participant_01" / "participant_01.csv"
    head, *rows = table(target)
    download.value.save_as(target)
    expected = [[row[0], *(("yes", "maybe", "no")[(n + q) % 3] for q in range(2))] for n, row in enumerate(rows)]
    assert table(target) == [head, *expected]
    page.close()
    assert problems == []
    assert score_study(pack).participants == ("participant_01",)
    assert set(head[1:]) == set(QUESTIONS)


def test_the_template_ships_with_the_package():
    import contrafact.report

    assert Path(contrafact.report.__file__).with_name("study.html").exists()

"""A study on a server: everybody's page at an address of their own, answers in the CSV that is scored."""

import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest

from contrafact.app.answers import Answers, study_application
from contrafact.app.listen import serve_until_stopped
from contrafact.cli import main
from contrafact.report.comparison import contenders_of
from contrafact.report.study import StudySettings, make_study
from contrafact.report.study_score import score_study
from tests.app.talking import fetch


@pytest.fixture
def folder(finished_run, tmp_path):
    settings = StudySettings(participants=2, images=1, pool=4)
    return make_study(contenders_of([finished_run]), tmp_path / "study", [[0, 1]], settings)


@pytest.fixture
def finished_run(disco_folder):
    from contrafact.core.method import load_run

    return load_run(disco_folder)


@pytest.fixture
def answers(folder):
    return Answers(folder)


@pytest.fixture
def pages(answers):
    """Each participant's address, from a server that runs meanwhile."""
    import uvicorn

    servers, told, real = [], threading.Event(), uvicorn.Server.run
    found = {}

    def run(self, sockets):
        servers.append(self)
        real(self, sockets)

    def ready(base, door):
        found.update({name: f"{base}/study/{token}/" for name, token in answers.tokens.items()})
        told.set()

    def make(door):
        return study_application(answers, door)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(uvicorn.Server, "run", run)
        thread = threading.Thread(target=serve_until_stopped, args=(make, ready, "127.0.0.1", 0, False, ("/study/",)))
        thread.start()
        assert told.wait(20)
        yield found
        servers[0].should_exit = True
        thread.join(20)


def post(address, text, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(address, text, headers), timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def table(answers, name, said="yes"):
    seen = answers._seen[name]
    rows = [["picture", *seen["questions"]], *([picture, said, "no"] for picture in seen["pictures"])]
    return "".join(",".join(row) + "\n" for row in rows)


def test_everybody_sees_their_own_page_and_pictures_only(answers, pages):
    first, second = pages.values()
    status, headers, body = fetch(first)
    rules = headers["content-security-policy"]
    nonce = re.search(r"'nonce-([\w-]+)'", rules)[1]
    assert status == 200
    assert "unsafe" not in rules
    assert body.count(f'nonce="{nonce}"'.encode()) == 2, "the style and the script"
    assert b"participant_01" in body
    assert b"participant_01" not in fetch(second)[2]
    name = "participant_01"
    for picture in answers._seen[name]["pictures"]:
        assert fetch(first + picture)[2] == (answers.folder / name / picture).read_bytes()
    for other in ("participant_01.csv", "study.html", "..%2F..%2Fkey.json", "key.json"):
        assert fetch(first + other)[0] == 404
    assert fetch(first.rsplit("/", 2)[0] + "/nobody/")[0] == 403
    assert fetch(first, Host="evil.example:80")[0] == 403


def test_answers_are_kept_where_they_are_scored_and_may_be_given_again(answers, pages, folder):
    for number, (name, address) in enumerate(pages.items()):
        assert post(address + "answers", table(answers, name, "maybe").encode()) == (200, "kept")
        assert post(address + "answers", table(answers, name, "yes").encode())[0] == 200
        assert len(score_study(folder).participants) == number + 1
        assert (folder / name / f"{name}.csv").read_text() == table(answers, name, "yes")
    assert not list(folder.rglob(".*"))


def test_what_is_no_table_of_answers_is_refused_and_changes_nothing(answers, pages, folder):
    name, address = next(iter(pages.items()))
    before = (folder / name / f"{name}.csv").read_bytes()
    good = table(answers, name)
    for bad in (
        *(
            "",
            "picture\n",
            good.replace("yes", "perhaps"),
            good.replace("picture", "pictures"),
            good + "9.png,yes,no\n",
        ),
        *(good.replace("yes", "=cmd()"), good.replace(",no", ""), "\x00" * 99),
    ):
        assert post(address + "answers", bad.encode())[0] == 400, bad
    assert post(address + "answers", b"\xff\xfe")[0] == 400
    assert post(address + "answers", b"x" * (2**20 + 1))[0] == 413
    assert post(address + "answers", good.encode(), Origin="http://evil.example")[0] == 403
    assert (folder / name / f"{name}.csv").read_bytes() == before
    shutil.rmtree(folder / name)
    assert "is gone" in post(address + "answers", good.encode())[1]


@pytest.mark.parametrize("name", ["../participant_01", "/etc"])
def test_a_key_that_leads_elsewhere_is_refused(folder, name):
    key = folder / "key.json"
    key.write_text(key.read_text().replace("participant_01", name))
    with pytest.raises(ValueError, match="names no files"):
        Answers(folder)


def test_the_command_says_an_address_for_each_and_what_comes_next(folder):
    command = [sys.executable, "-m", "contrafact", "study", "serve", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = [process.stdout.readline() for _ in range(4)]
            assert said[0] == "give each participant one of these addresses:\n"
            for line, name in zip(said[1:3], ("participant_01", "participant_02"), strict=True):
                assert line.split()[0] == name
                assert fetch(line.split()[1])[0] == 200
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, err) == (0, "")
    assert out == f"next:\n  contrafact study score {folder}\n"


def test_a_study_is_served_to_others_only_where_somebody_says_so(folder, capsys):
    assert main(["study", "serve", str(folder), "--host", "0.0.0.0"]) == 2
    assert "--expose-to-network" in capsys.readouterr().err


@pytest.mark.browser
def test_a_participant_answers_in_a_browser(browser, answers, pages, folder):
    name, address = next(iter(pages.items()))
    page = browser.new_page()
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.goto(address)
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    assert "send the file back" not in page.inner_text("body")
    for picture in answers._seen[name]["pictures"]:
        for question in answers._seen[name]["questions"]:
            page.check(f"input[name='{picture}/{question}'][value=maybe]")
    page.click("#save")
    page.wait_for_selector("text=Your answers are kept")
    page.close()
    assert problems == []
    assert (folder / name / f"{name}.csv").read_text() == table(answers, name, "maybe").replace(",no", ",maybe")

"""The script of the page of serve.py, run by a browser without a window."""

import json
import re
import shutil
import subprocess
import threading
from html import unescape

import pytest

from util.errors import UserError
from util.predicting.web import ANSWERS, PageServer

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not BROWSER, reason="needs Chromium or Google Chrome")

PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
# what a test may say in `steps`; `see` keeps what the page shows when all answers have come
WORDS = """
<pre id="seen"></pre>
<script>
const seen = [];
const film = (name, words) => new File([words], name);
const press = (button) => one(`.film .${button}`).click();
const choose = (sex, years, months) => {
  one(`[name=sex][value="${sex}"]`).checked = true;
  [one("#years").value, one("#months").value] = [years, months];
};
const see = async () => {
  await queue;
  seen.push([...document.querySelectorAll(".film")].map((card) => Object.fromEntries(
    [...card.querySelectorAll("h2, p, button, img")].filter((element) => !element.hidden).map(
      (element) => [element.className || "name", element.textContent || element.alt]))));
};
(async () => { STEPS; one("#seen").textContent = JSON.stringify(seen); })();
</script>
</body>"""


def answer(_, path, child):
    """Stands for `predict_film`: what the film holds is the note, and what was asked the child."""
    words = path.read_text()
    if words == "no film":
        raise UserError("not a readable image")
    said = {"years": "8 y 4 mo", "interval": "90 % interval: 7 y 0 mo - 9 y 0 mo", "score": ""}
    return {"child": " ".join(child.values()), "months": 100.26, "note": words, **said} | {
        "image": PIXEL
    }


def explain(_, path, __):
    """Stands for `picture_of_film`."""
    if path.read_text() == "odd":
        raise UserError("models that see different parts")
    return {"picture": PIXEL}


@pytest.fixture
def browse(monkeypatch):
    """Open the page, do `steps` on it, and return what `see` saw: for each call, what is shown of
    each film, by the class of the element."""
    monkeypatch.setitem(ANSWERS, "/predict", answer)
    monkeypatch.setitem(ANSWERS, "/explain", explain)

    def run(steps):
        with PageServer(None, ["a note"], 0) as server:
            server.page = server.page.replace("</body>", WORDS.replace("STEPS", steps))
            threading.Thread(target=server.serve_forever).start()
            try:
                page = dump_page(f"http://127.0.0.1:{server.server_port}/")
            finally:
                server.shutdown()
        return json.loads(unescape(re.search('<pre id="seen">(.*)</pre>', page)[1]))

    return run


def dump_page(address):
    """Return the page as HTML when its script has come to rest."""
    # the sandbox needs rights that containers lack, and only the page of this test is opened
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=30000")
    return subprocess.run(
        [BROWSER, *options, "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout


def test_films_of_a_child_are_shown_in_their_order_and_the_next_child_is_another(browse):
    first, second = browse("""
        choose("F", "10", "3"); add([film("a.png", ""), film("b.png", "unlike a hand")]);
        await see(); add([film("c.png", "")]); await see()
    """)
    a = {
        "image": "the film as the model sees it",
        "name": "a.png",
        "child": "F 123",
        "years": "8 y 4 mo",
        "interval": "90 % interval: 7 y 0 mo - 9 y 0 mo",
        "months": "100.3 months",
        "explain": "Where do the months come from?",
        "again": "Again, with the sex and age above",
    }
    assert first == [a, a | {"name": "b.png", "note": "unlike a hand"}]
    c = {key: value for key, value in a.items() if key != "child"}  # neither sex nor age
    assert second == [c | {"name": "c.png"}, *first]


def test_what_is_wrong_is_said_beside_the_film(browse, monkeypatch):
    monkeypatch.setattr("util.predicting.web.MOST_BYTES", 10)
    (films,) = browse("""
        add([film("letter.txt", "no film"), film("long.png", "more than ten bytes")]); await queue;
        window.fetch = () => Promise.reject(); add([film("gone.png", "")]); await see()
    """)
    again = {"again": "Again, with the sex and age above"}
    assert films == [
        {"name": "gone.png"}
        | {"problem": "no answer: does the file still exist, and is serve.py running?"}
        | again,
        {"name": "letter.txt", "problem": "not a readable image"} | again,
        {"name": "long.png", "problem": "the file is too large for a film"} | again,
    ]


def test_a_film_is_predicted_again_for_the_child_that_is_given_then(browse):
    first, refused, third = browse("""
        choose("F", "", ""); add([film("a.png", "")]); await see();
        choose("M", "25", ""); press("again"); await see();
        choose("M", "2", ""); press("again"); await see()
    """)
    assert [film["child"] for (film,) in (first, refused, third)] == ["F", "F", "M 24"]


def test_where_the_months_come_from_is_shown_on_request(browse):
    even, again, odd, odd_again = browse("""
        choose("F", "", ""); add([film("a.png", "even")]); await queue; press("explain"); await see();
        press("again"); await see();
        add([film("b.png", "odd")]); await queue; press("explain"); await see();
        press("again"); await see()
    """)
    picture = "the film, and by how many months its bone age changes when a part of it is hidden"
    question = "Where do the months come from?"
    assert even[0]["picture"] == picture
    assert "explain" not in even[0]
    assert "picture" not in again[0]
    assert again[0]["explain"] == question
    assert odd[0]["problem"] == "models that see different parts"
    assert odd[0]["explain"] == question
    assert "picture" not in odd[0]
    assert "problem" not in odd_again[0]


def test_on_a_narrow_screen_that_picture_stays_large_enough_to_read_and_is_scrolled(browse):
    ((picture, card, body),) = browse("""
        document.body.style.width = "400px";
        choose("F", "", ""); add([film("a.png", "even")]); await queue; press("explain"); await queue;
        seen.push([".picture", ".film", "body"].map((name) => one(name).scrollWidth))
    """)
    assert picture == card == 640
    assert body == 400 + 2 * 16  # its padding

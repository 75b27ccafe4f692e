"""The web page of serve.py: what it answers, to whom, and that it keeps nothing."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from base64 import b64decode
from contextlib import contextmanager
from html import unescape
from http.client import HTTPConnection

import cv2
import numpy as np
import pytest
from conftest import ROOT, check_error_line

from util.ensemble import open_ensemble
from util.film_ages import format_film, predict_ages
from util.web import MOST_BYTES, PAGE, PageServer

FILM = ROOT / "tests" / "phantom.png"
NOTE = 'a note of <the> "model"'


@contextmanager
def serving(run):
    """The port of a server that predicts with a run."""
    ensemble = open_ensemble([run])
    ensemble.load()
    with PageServer(ensemble, [NOTE], 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def port(small_run):
    with serving(small_run) as port:
        yield port


def request(port, path, film=None, **headers):
    """Send a film, or ask for a page; returns (status, text)."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET" if film is None else "POST", path, film, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def ask(port, path, film):
    status, text = request(port, path, film)
    return status, json.loads(text)


def picture_in(address):
    """The pixels of a picture that an answer holds."""
    kind, data = address.split(",")
    assert kind == "data:image/png;base64"
    return cv2.imdecode(np.frombuffer(b64decode(data), np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("sex", ["F", "M"])
def test_a_film_gets_the_age_that_predict_says(port, small_run, sex):
    status, answer = ask(port, f"/predict?sex={sex}&age_months=120", FILM.read_bytes())
    assert status == 200
    (film,) = predict_ages(FILM, sex, 120, small_run).assign(shown="").itertuples()
    assert answer["months"] == film.months
    said = format_film(film)
    for part in ("years", "interval", "score"):
        assert answer[part] in said
    assert answer["sex"] == {"F": "girl", "M": "boy"}[sex]
    assert "SD" in answer["score"]
    assert answer["note"] == film.note
    image = picture_in(answer["image"])
    assert image.shape == (48, 48)
    assert np.ptp(image) > 200


def test_the_picture_shows_the_film_twice_beside_a_scale(port):
    status, answer = ask(port, "/explain?sex=F&name=a%20film", FILM.read_bytes())
    assert status == 200
    height, width, _ = picture_in(answer["picture"]).shape
    assert width > 1.5 * height > 300


@pytest.mark.parametrize(
    ("words", "film", "problem"),
    [
        ("?sex=F", b"Dear colleague", "not a readable image"),
        ("?sex=F", FILM.read_bytes()[:1000], "truncated file"),
        ("?sex=F", b"", "empty file"),
        ("", FILM.read_bytes(), "no sex: choose girl or boy"),
        ("?sex=F&age_months=ten", FILM.read_bytes(), "the age is no number: ten"),
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_what_is_wrong_with_a_film_is_said(port, path, words, film, problem):
    status, answer = ask(port, path + words, film)
    assert status == 422
    assert problem in answer["problem"]


def test_the_page_shows_the_notes_of_the_model(port):
    status, page = request(port, "/")
    assert status == 200
    assert NOTE not in page  # as HTML
    assert NOTE in unescape(page)
    assert str(MOST_BYTES) in page
    assert "{" + "notes}" not in page
    assert "{" + "most_bytes}" not in page


def test_the_page_loads_nothing_from_elsewhere():
    page = PAGE.read_text()
    assert "http" not in page
    assert "innerHTML" not in page  # names of films are text


@pytest.mark.parametrize("film", [None, b"film"])
def test_pages_from_elsewhere_are_refused(port, film):
    """As after DNS rebinding: the name is theirs, the address ours."""
    path = "/" if film is None else "/predict?sex=F"
    assert request(port, path, film, Host="evil.example")[0] == 403
    assert request(port, path, film, Host=f"localhost:{port}")[0] != 403


def test_other_pages_and_too_large_films_are_refused(port):
    assert request(port, "/metrics")[0] == 404
    assert request(port, "/metrics", b"film")[0] == 404
    status, text = request(port, "/predict", b"", **{"Content-Length": str(MOST_BYTES + 1)})
    assert status == 413
    assert "200,000,000 bytes" in text


def test_no_film_is_kept(small_run, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with serving(small_run) as port:
        for path in ("/predict", "/explain"):
            assert ask(port, f"{path}?sex=F&name=Jane%20Doe", FILM.read_bytes())[0] == 200
        assert ask(port, "/predict?sex=F&name=Jane%20Doe", b"letter")[0] == 422
    assert not list(tmp_path.iterdir())
    assert "Doe" not in "".join(capfd.readouterr())


def test_a_port_that_is_taken_is_one_line(port, inside, small_run):
    process = inside("serve.py", "--model", small_run, "--port", port)
    check_error_line(process, f"(port {port})", "Choose another --port")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_the_command_serves_until_ctrl_c(small_run):
    process = subprocess.Popen(
        [sys.executable, "serve.py", "--model", small_run, "--port", "0"],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # a test run that was started in the background ignores Ctrl-C, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    line = process.stdout.readline()
    assert line.startswith("bone ages: http://127.0.0.1:")
    port = int(line.split(":")[3].split()[0])
    assert ask(port, "/predict?sex=F", FILM.read_bytes())[0] == 200
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err == "Research use only: not a medical device.\nended\n"

"""The web page of serve.py: what it answers, to whom, and that it keeps nothing."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from html import unescape
from http.client import HTTPConnection
from socket import create_connection

import cv2
import numpy as np
import pytest
from commands import ROOT, check_error_line, listen_to_signals

from util.errors import first_line
from util.predicting.age_report import format_film
from util.predicting.ensemble import open_ensemble
from util.predicting.film_ages import predict_ages
from util.predicting.web import ANSWERS, MOST_BYTES, PAGE, PageServer

FILM = ROOT / "tests" / "phantom.png"
NOTE = 'a note of <the> "model"'


@pytest.fixture(scope="module")
def port(small_run):
    """The port of a server that predicts with a run."""
    ensemble = open_ensemble([small_run])
    ensemble.load()
    with PageServer(ensemble, [NOTE], 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


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
    assert answer["years"] in said
    assert answer["interval"].startswith("90 % interval: ")
    assert answer["interval"].replace(" interval", "") in said
    child = {"F": "girl", "M": "boy"}[sex]
    score, mean = answer["score"].split(" from ")
    assert f", {score} at 10 y 0 mo" in said
    assert mean == f"the mean for a {child} of 10 y 0 mo"
    assert answer["child"] == f"{child}, 10 y 0 mo old"
    assert answer["note"] == film.note
    image = picture_in(answer["image"])
    assert image.shape == (48, 48)
    assert np.ptp(image) > 200


def test_the_header_of_a_dicom_film_tells_the_child(port, tmp_path):
    pytest.importorskip("pydicom")
    from test_dicom import write_dicom

    values = cv2.imread(str(FILM), cv2.IMREAD_GRAYSCALE)
    write_dicom(tmp_path / "film", values, PatientSex="M", PatientAge="130M")
    film = (tmp_path / "film").read_bytes()
    assert ask(port, "/predict", film)[1]["child"] == "boy, 10 y 10 mo old"
    answer = ask(port, "/predict?sex=F", film)[1]
    assert answer["child"].startswith("girl")
    assert "the DICOM header says M" in answer["note"]


def test_the_picture_shows_the_film_twice_beside_a_scale(port):
    status, answer = ask(port, "/explain?sex=F", FILM.read_bytes())
    assert status == 200
    picture = picture_in(answer["picture"])
    assert picture.shape[1] > 1.5 * picture.shape[0] > 300
    other = picture_in(ask(port, "/explain?sex=M", FILM.read_bytes())[1]["picture"])
    assert picture.shape != other.shape or (picture != other).any()


@pytest.mark.parametrize(
    ("words", "film", "problem"),
    [
        ("?sex=F", b"Dear colleague", "not a readable image"),
        ("?sex=F", FILM.read_bytes()[:1000], "truncated file"),
        ("?sex=F", b"", "empty file"),
        ("", FILM.read_bytes(), "no sex: choose girl or boy"),
        ("?sex=F&age_months=ten", FILM.read_bytes(), "the age is no number: ten"),
        ("?sex=F&age_months=1e400", FILM.read_bytes(), "no age of a child in months: inf"),
        ("?sex=F&age_months=-5", FILM.read_bytes(), "no age of a child in months: -5"),
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_what_is_wrong_with_a_film_is_said(port, path, words, film, problem):
    status, answer = ask(port, path + words, film)
    assert status == 422
    assert problem in answer["problem"]


@pytest.mark.parametrize(("host", "status"), [("localhost", 404), ("elsewhere", 403)])
def test_an_address_that_is_none_is_answered(port, host, status):
    with create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(f"POST http://[x/predict HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert connection.recv(100).split()[1] == str(status).encode()


def test_the_page_shows_the_notes_of_the_model(port):
    status, page = request(port, "/")
    assert status == 200
    assert NOTE not in page  # as HTML
    assert NOTE in unescape(page)
    assert str(MOST_BYTES) in page
    assert "{notes}" not in page
    assert "{most_bytes}" not in page


def test_the_page_is_of_this_computer_alone(port, small_run):
    page = PAGE.read_text()
    assert "http" not in page
    assert "innerHTML" not in page  # names of films are text
    with PageServer(open_ensemble([small_run]), [], 0) as server:
        assert server.server_address[0] == "127.0.0.1"
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/")
    headers = connection.getresponse().headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("film", [None, b"film"])
def test_pages_from_elsewhere_are_refused(port, film):
    """They may ask our address, or have given their name to it (DNS rebinding)."""
    path = "/" if film is None else "/predict?sex=F"
    host = f"localhost:{port}"
    assert request(port, path, film, Host="evil.example")[0] == 403
    assert request(port, path, film, Host="[")[0] == 403
    assert request(port, path, film, Host=host, Origin="http://evil.example")[0] == 403
    assert request(port, path, film, Host=host, Origin=f"http://{host}")[0] != 403
    assert request(port, path, film, Host=host)[0] != 403


def test_other_pages_and_too_large_films_are_refused(port):
    assert request(port, "/metrics")[0] == 404
    assert request(port, "/metrics", b"film")[0] == 404
    assert request(port, "/predict", b"", **{"Content-Length": 5000 * "1"})[0] == 411
    status, text = request(port, "/predict", b"", **{"Content-Length": str(MOST_BYTES + 1)})
    assert status == 413
    assert "200,000,000 bytes" in text


def test_no_film_is_kept(port, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for path in ("/predict", "/explain"):
        assert ask(port, f"{path}?sex=F", FILM.read_bytes())[0] == 200
    assert ask(port, "/predict?sex=F", b"letter")[0] == 422
    assert not list(tmp_path.iterdir())
    assert "".join(capfd.readouterr()) == ""


def test_films_are_predicted_one_at_a_time(port, monkeypatch):
    running = []

    def compute(*_):
        running.append(1)
        time.sleep(0.05)
        return {"running": len(running), "last": running.pop()}

    monkeypatch.setitem(ANSWERS, "/predict", compute)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(port, "/predict", b"film")[1], range(4)))
    assert [answer["running"] for answer in answers] == [1, 1, 1, 1]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device", "x"), MemoryError()])
def test_a_server_that_failed_says_why_and_goes_on(port, monkeypatch, error):
    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setitem(ANSWERS, "/predict", fail)
        status, answer = ask(port, "/predict", b"film")
    assert status == 500
    assert first_line(error) in answer["problem"]
    assert ask(port, "/predict?sex=F", FILM.read_bytes())[0] == 200


def test_a_browser_that_goes_away_is_no_film(port, monkeypatch, capfd):
    asked = []
    monkeypatch.setitem(ANSWERS, "/predict", lambda _, film, __: asked.append(film.read_bytes()))
    with create_connection(("127.0.0.1", port)) as gone:
        gone.sendall(f"POST /predict HTTP/1.1\r\nHost: localhost:{port}\r\n".encode())
        gone.sendall(b"Content-Length: 9\r\n\r\nhalf")
    assert ask(port, "/predict", b"film")[0] == 200
    assert asked == [b"film"]
    assert "".join(capfd.readouterr()) == ""


def test_a_port_that_is_taken_is_one_line(port, inside, small_run):
    process = inside("serve.py", "--model", small_run, "--port", port)
    check_error_line(process, f"(port {port})", "Choose another --port")


@contextmanager
def explaining(run, folder, stderr):
    """serve.py, as a command, while it computes a picture; its temporary files are in `folder`."""
    process = subprocess.Popen(
        [sys.executable, "serve.py", "--model", run, "--port", "0"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=stderr,
        preexec_fn=listen_to_signals,
    )
    line = process.stdout.readline()
    assert line.startswith("bone ages: http://127.0.0.1:")
    port = int(line.split(":")[3].split()[0])
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, port, "/explain?sex=F", FILM.read_bytes())
        while not asked.done() and not list(folder.glob("*/film")):
            time.sleep(0.01)
        assert not asked.done()
        yield process
        asked.exception()  # an answer, or a connection that was closed


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_command_serves_until_it_is_ended_and_leaves_no_film(small_run, tmp_path, name):
    with explaining(small_run, tmp_path, subprocess.PIPE) as process:
        process.send_signal(getattr(signal, name))
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err == "Research use only: not a medical device.\nending\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such terminals")
def test_a_terminal_that_is_gone_ends_it_as_well(small_run, tmp_path):
    terminal, end = os.openpty()
    with explaining(small_run, tmp_path, end) as process:
        os.close(end)
        os.close(terminal)
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=60) == 0
    assert not list(tmp_path.iterdir())

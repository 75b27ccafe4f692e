"""The web page of serve.py: it sends films, and shows what predict.py would say of them.

`GET /` returns the page. `POST /predict?sex=F&age_months=120`, with a film as the body, returns the
answer of `predict_film` as JSON, and `POST /explain?...` that of `picture_of_film`. Sex and age may
be left out; the name of the film stays in the browser.
"""

import base64
import json
import os
import sys
import threading
import webbrowser
from contextlib import suppress
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qsl, urlsplit

import cv2
import pandas as pd

from util.errors import UserError, first_line
from util.metrics_text import format_years
from util.predicting.age_report import format_score, has_score
from util.predicting.canvases import read_on_canvases
from util.predicting.children import add_from_headers
from util.predicting.film_ages import predict_chunk
from util.predicting.intervals import LEVEL, format_range
from util.predicting.occlusion import check_same_part, explain_film
from util.tables.ages import MAX_MONTHS
from util.tables.sexes import sex_of

ADDRESS = "127.0.0.1"  # reached from this computer alone
NAMES = {ADDRESS, "localhost"}
PAGE = Path(__file__).with_name("web_page.html")
MOST_BYTES = 200_000_000  # of a film
AT_ONCE = 32  # copies of a film, each with another part hidden, predicted together
# the page contains all that it needs, and loads nothing from elsewhere
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)


class PageServer(ThreadingHTTPServer):
    """Serves the page on a port of this computer. An Ensemble predicts the films, one at a time;
    the page shows `notes` to its users. UserError when the port is taken."""

    ending = False
    request_queue_size = 128  # connections that may wait; more are refused
    # threads that wait for the unused open connections of browsers must end with this process
    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # on Windows a second server would take the port

    def __init__(self, ensemble, notes, port):
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            raise UserError(
                f"can't serve: {first_line(error)} (port {port}). Choose another --port."
            ) from None
        self.ensemble, self.predicting = ensemble, threading.Lock()
        text = "".join(f"<p>{escape(note)}</p>" for note in notes)
        page = PAGE.read_text(encoding="utf-8")
        self.page = page.replace("{notes}", text).replace("{most_bytes}", str(MOST_BYTES))

    def serve(self, show):
        """Answer until Ctrl-C, or until the terminal is closed. With `show` the page opens in the
        browser."""
        address = f"http://{ADDRESS}:{self.server_port}"
        print(f"bone ages: {address} (end with Ctrl-C)", flush=True)
        if show:
            # in a thread: `open` waits for a browser in the terminal to end
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        try:
            self.serve_forever()
        except KeyboardInterrupt:
            self.ending = True
            with suppress(OSError):  # the terminal may be gone
                print("ending", file=sys.stderr)
            self.predicting.acquire()  # Python can't end while a thread computes

    def handle_error(self, *of_request):
        """Report what went wrong, unless the browser closed the connection."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*of_request)


class Handler(BaseHTTPRequestHandler):
    """Answers one request, and logs nothing."""

    timeout = 60  # seconds without a byte

    def do_GET(self):
        if self.refuse_stranger():
            return
        if self.asked()[0] == "/":
            self.answer(200, self.server.page, "text/html; charset=utf-8")
        else:
            self.refuse(404, "no such page")

    def do_POST(self):
        path, query = self.asked()
        compute, size = ANSWERS.get(path), self.headers.get("Content-Length", "")
        if self.refuse_stranger():
            return
        if not compute:
            self.refuse(404, "no such page")
        elif not size.isdecimal() or len(size) > 15:
            self.refuse(411, "no Content-Length")
        elif int(size) > MOST_BYTES:
            self.refuse(413, f"the film has more than {MOST_BYTES:,} bytes")
        else:
            self.answer_film(compute, int(size), dict(parse_qsl(query)))

    def asked(self):
        """Return the path and the query of the request; "" where its address is none."""
        try:
            address = urlsplit(self.path)
        except ValueError:
            return "", ""
        return address.path, address.query

    def refuse_stranger(self):
        """Refuse a request, and return whether it was, unless it comes from the page itself, by a
        name of this computer: pages from elsewhere can send requests to this address, even under
        their own name (DNS rebinding)."""
        host = self.headers.get("Host", "")
        ours = host.split(":")[0] in NAMES
        ours = ours and self.headers.get("Origin", f"http://{host}") == f"http://{host}"
        if not ours:
            self.refuse(403, "served to this computer alone")
        return not ours

    def answer_film(self, compute, size, child):
        """Answer with what `compute`, a function of ANSWERS, returns for a film of `size` bytes."""
        film = self.rfile.read(size)
        if len(film) < size:  # the sender closed the connection
            return
        with self.server.predicting:
            if self.server.ending:
                return
            try:
                with TemporaryDirectory() as folder:
                    path = Path(folder) / "film"
                    path.write_bytes(film)
                    status, content = 200, compute(self.server.ensemble, path, child)
            except UserError as error:
                status, content = 422, {"problem": str(error)}
            except (OSError, MemoryError) as error:  # such as a full disk
                status, content = 500, {"problem": f"serve.py failed: {first_line(error)}"}
        self.answer(status, json.dumps(content))

    def refuse(self, status, problem):
        self.answer(status, json.dumps({"problem": problem}))

    def answer(self, status, text, kind="application/json"):
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def predict_one(ensemble, path, child):
    """Return the row of `predict_chunk` for a film. `child` is {"sex", "age_months"}, each of which
    may be missing. UserError when the age is not that of a child, or when the film can't be
    predicted."""
    try:
        age = float(child.get("age_months") or "nan")
    except ValueError:
        raise UserError(f"the age is no number: {child['age_months']}") from None
    if age < 0 or age > MAX_MONTHS:
        raise UserError(f"no age of a child in months: {age:g}")
    film = {"path": str(path), "shown": "the film", "age_months": age}
    film |= {"sex": sex_of(child.get("sex")), "no_sex": "no sex: choose girl or boy"}
    films = add_from_headers(pd.DataFrame([film]))
    row = next(predict_chunk(ensemble, films, AT_ONCE).itertuples())
    if not pd.isna(row.problem):
        raise UserError(row.problem)
    return row


def predict_film(ensemble, path, child):
    """Return what is known of a film: {"child", "months", "years", "interval", "score", "note",
    "image"}.

    All but `months` are texts, "" if there is nothing to say. "child" is the known sex and age,
    "image" the film as the model sees it (see `as_address`). For the argument `child` and for
    errors see `predict_one`.
    """
    film = predict_one(ensemble, path, child)
    pixels, _ = read_on_canvases(ensemble.canvases[:1], [film.path])
    image = pixels[ensemble.canvases[0]][0]
    known = [] if pd.isna(film.sex) else [("girl", "boy")[film.sex]]
    interval = score = ""
    if not pd.isna(film.age_months):
        known.append(f"{format_years(film.age_months)} old")
    if not pd.isna(film.low):
        interval = format_range(film.low, film.high).replace(LEVEL, f"{LEVEL} interval")
    if has_score(film):  # the sex is known as well
        whose = f"{known[0]} of {format_years(film.age_months)}"
        score = f"{format_score(film)} from the mean for a {whose}"
    return {
        "child": ", ".join(known),
        "months": film.months,
        "years": format_years(film.months),
        "interval": interval,
        "score": score,
        "note": film.note,
        "image": as_address(cv2.imencode(".png", image)[1]),
    }


def picture_of_film(ensemble, path, child):
    """Return {"picture"}: where the months of a film come from, see `explain_film` and
    `as_address`. For `child` and for errors see `predict_one`."""
    check_same_part(ensemble.canvases)
    picture = path.with_name("picture.png")
    explain_film(ensemble, predict_one(ensemble, path, child), picture, AT_ONCE)
    return {"picture": as_address(picture.read_bytes())}


def as_address(png):
    """Return the bytes of a PNG as a data address, so that the page holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


ANSWERS = {"/predict": predict_film, "/explain": picture_of_film}

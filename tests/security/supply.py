"""What requests can name and bring, and what the service finds of the world: all of it on this
machine."""

import base64
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2

from app.parts import build_parts
from app.settings import Settings
from tests.labelled import store_labelled
from tests.pictures import jpeg
from tests.teaching import picture

PICTURE = jpeg()
KINDS = ("stripes", "discs")
HOST, SLOW_HOST, SLOW_S = "pictures.example", "slow.example", 2.0
TARGETS = "memory://exports/"
LABELLED, LABELS = "flowers", 400
"""A domain, and how many labelled answers it has from the start."""


class Outside(BaseHTTPRequestHandler):
    """A proxy that is all the world: a picture at each URL, and receivers of webhooks."""

    def do_GET(self) -> None:
        if SLOW_HOST in self.path:
            time.sleep(SLOW_S)
        self._answer(200, PICTURE)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(204)

    def do_CONNECT(self) -> None:
        self._answer(403)

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", str(len(body)))
        with suppress(ConnectionError):  # who asked is gone already
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def outside() -> Iterator[str]:
    """Its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Outside) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


async def store_labels(database_url: str) -> None:
    """Of a caller whose data nobody asks to erase."""
    async with build_parts(Settings(database_url=database_url)) as parts:
        await store_labelled(parts, LABELS, domain=LABELLED, caller="reader")


class Supply:
    """Makes what is to be there for a caller, when it is first wanted."""

    def __init__(self, caller: httpx2.Client, operator: httpx2.Client) -> None:
        self._caller = caller
        self._operator = operator
        self._made: dict[tuple[str, str], str] = {}

    def names(self, path: str, given: dict[str, Any]) -> dict[str, Any]:
        """Of what is there, for the parameters of a path; as given where nothing can be made."""
        kind = _kind(path)
        return {name: self._named(kind, name) or value for name, value in given.items()}

    def forget(self, path: str, names: Collection[Any]) -> None:
        """Somebody changed or deleted some of it, by these names in the path."""
        kind = _kind(path)
        self._made = {
            key: each for key, each in self._made.items() if key[0] != kind and each not in names
        }

    def _named(self, kind: str, name: str) -> str | None:
        if (kind, name) not in self._made:
            made = self._make(kind, name)
            if made is None:
                return None
            self._made[kind, name] = made
        return self._made[kind, name]

    def _make(self, kind: str, name: str) -> str | None:
        match kind, name:
            case "image", "result_id":
                return self._result()  # its picture is kept, as nobody knows its class
            case _, "result_id":
                return self._result(expected="rose")
            case "pause", "batch_id":
                return self._slow_batch()
            case "resume", "batch_id":
                batch = self._slow_batch()
                return _post(self._caller, f"/batches/{batch}/pause")["id"]
            case _, "batch_id":
                files = [("file", (f"{each}.jpg", PICTURE)) for each in range(2)]
                order = {"domain": "flowers"}
                return _post(self._caller, "/batches", data=order, files=files)["id"]
            case _, "evaluation_id":
                self._result(expected="rose")
                return _post(self._caller, "/evaluations", json={"domain": "flowers"})["id"]
            case _, "webhook_id":
                order = {"url": "https://hooks.example/in"}
                return _post(self._caller, "/webhooks", json=order)["id"]
            case _, "delivery_id":
                webhook = self._named(kind, "webhook_id")
                return _post(self._caller, f"/webhooks/{webhook}/test")["id"]
            case "budgets", "name":
                order = {"period": "month", "amount_usd": 5, "action": "alert"}
                self._operator.put("/budgets/garden", json=order)
                return "garden"
            case "domains", "name":
                order = {"classes": KINDS}
                made = self._operator.post("/domains", json={"name": "garden", **order})
                if not made.is_success:  # it is there, maybe with other classes
                    self._operator.put("/domains/garden", json=order)
                return "garden"
            case "domains", "example_id":
                return self._example(kind, KINDS[0])
            case "domains", "lesson_id":
                for label in KINDS:
                    self._example(kind, label)
                place = f"/domains/{self._named(kind, 'name')}/lessons"
                return _post(self._operator, place, json={})["id"]
            case "labelled", "name":
                return LABELLED
            case "labelled", "calibration_id":
                fitted = _post(self._operator, f"/domains/{LABELLED}/calibrations", json={})
                return fitted["calibrations"][0]["id"]
            case _:
                return None  # alerts want their time

    def _slow_batch(self) -> str:
        """One that is not over at once."""
        order = {"domain": "flowers", "items": [{"image_url": f"http://{SLOW_HOST}/"}]}
        return _post(self._caller, "/batches", json=order)["id"]

    def _result(self, **more: str) -> str:
        order = {"domain": "flowers", **more}
        return _post(self._caller, "/classify", data=order, files={"file": PICTURE})["id"]

    def _example(self, kind: str, label: str) -> str:
        place = f"/domains/{self._named(kind, 'name')}/examples"
        files = {"file": ("a.jpg", picture(label, 1))}
        taken = _post(self._operator, place, data={"label": label}, files=files)
        return taken["examples"][0]["id"]


def with_what_is_there(path: str, given: dict[str, Any]) -> dict[str, Any]:
    """A JSON body that brings pictures, and names a class and a place that are there."""
    body = dict(given)
    if "image_base64" in body:
        body.pop("image_url", None)
        body["image_base64"] = base64.b64encode(PICTURE).decode()
    if path.endswith("/examples"):
        body["label"] = KINDS[0]
    if path.endswith("/calibrations"):
        body = {}
    if path == "/batches":
        body.pop("source", None)
        body |= {"domain": "flowers", "items": [{"image_url": f"http://{HOST}/"}]}
    if "to" in body:
        body["to"] = f"{TARGETS}results.json"
    return body


def of_what_is_there(path: str, given: dict[str, Any]) -> dict[str, Any]:
    """A query without names of what is not there."""
    if path.endswith("/threshold"):
        return {name: each for name, each in given.items() if name in ("accuracy", "per_label")}
    return given


def _kind(path: str) -> str:
    """Deliveries are gone with their webhooks, reviews with their results."""
    first, last = path.split("/")[1], path.split("/")[-1]
    if last in ("pause", "resume", "image"):
        return last
    if "/calibrations" in path or last == "threshold":
        return "labelled"
    return {"deliveries": "webhooks", "reviews": "results"}.get(first, first)


def _post(client: httpx2.Client, path: str, **options: Any) -> dict[str, Any]:
    answer = client.post(path, **options)
    if not answer.is_success:
        raise RuntimeError(f"{path}: {answer.text}")
    return answer.json()

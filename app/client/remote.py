"""The back end that calls a server over HTTP. Imports nothing of the service itself."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from app.client.backend import Answers, Asked, Order, Taught, Tell
from app.client.folder import Folder
from app.client.http import Http, parsed
from app.client.remote_batches import RemoteBatches
from app.errors import DomainExists
from app.labelled_folder import labelled_pictures
from app.result import NONE, Result


class RemoteBackend:
    copies: Path | None = None

    def __init__(self, base_url: str, api_key: str | None, *, timeout_s: float) -> None:
        """Raises InvalidRequest."""
        self._http = Http(base_url, api_key, timeout_s=timeout_s)
        self._batches = RemoteBatches(self._http)

    async def classify(self, picture: bytes | str, asked: Asked) -> Result:
        options: dict[str, Any] = {
            "domain": asked.domain,
            "provider": asked.provider,
            "expected": asked.expected,
            "metadata": asked.metadata,
        }
        options = {name: value for name, value in options.items() if value is not None}

        def body() -> dict[str, Any]:
            if isinstance(picture, str):
                return {"json": {**options, "image_url": picture}}
            texts = options | (
                {"metadata": json.dumps(options["metadata"])} if "metadata" in options else {}
            )
            return {"data": texts, "files": {"file": ("picture", picture)}}

        headers = {"idempotency-key": uuid4().hex}
        return parsed(
            await self._http.send("POST", "/classify", body=body, headers=headers), Result
        )

    async def define_domain(self, name: str, spec: Mapping[str, Any]) -> None:
        try:
            await self._http.send("POST", "/domains", body=lambda: {"json": {"name": name, **spec}})
        except DomainExists:
            await self._http.send("PUT", f"/domains/{name}", body=lambda: {"json": dict(spec)})

    async def teach(self, folder: Path, domain: str, accuracy: float) -> Taught:
        pictures = await asyncio.to_thread(labelled_pictures, folder)
        await self._make_domain(domain, {label for _, label in pictures})
        path = f"/domains/{domain}"
        refused: dict[str, str] = {}
        for picture, label in pictures:
            data = await asyncio.to_thread(picture.read_bytes)

            def body(data: bytes = data, label: str = label) -> dict[str, Any]:
                return {"data": {"label": label}, "files": {"file": ("picture", data)}}

            answered = await self._http.send("POST", f"{path}/examples", body=body)
            refused |= {str(picture): each["detail"] for each in answered.json()["refused"]}
        answered = await self._http.send(
            "POST", f"{path}/lessons", body=lambda: {"json": {"accuracy": accuracy}}
        )
        lesson = answered.json()
        report = lesson["report"]
        return Taught(
            lesson["id"], lesson["examples"], report["accuracy"], report["threshold"], refused
        )

    async def _make_domain(self, name: str, labels: set[str]) -> None:
        """Create the domain if it does not exist."""
        spec = {
            "name": name,
            "classes": sorted(labels - {NONE}),
            "allow_none": NONE in labels,
            "providers": ["local"],
        }
        with suppress(DomainExists):
            await self._http.send("POST", "/domains", body=lambda: {"json": spec})

    async def process(self, folder: Folder, order: Order, tell: Tell) -> Answers:
        return await self._batches.process(folder, order, tell)

    async def aclose(self) -> None:
        await self._http.aclose()

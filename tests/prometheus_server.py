"""A real Prometheus, with the rules and the scrape job of config/prometheus."""

import json
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from tests.service import ROOT

SHIPPED = ROOT / "config" / "prometheus"


class PrometheusServer:
    """Scrapes `targets` (host:port) instead of those of docker-compose.yml, every `interval_s`."""

    def __init__(self, folder: Path, *targets: str, interval_s: float = 1) -> None:
        config = folder / "prometheus.yml"
        shutil.copytree(SHIPPED, folder, dirs_exist_ok=True)
        config.write_text(yaml.safe_dump(_changed(targets, interval_s)))
        self._log = folder / "log.txt"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *("prometheus", f"--config.file={config}"),
                    *("--web.listen-address=127.0.0.1:0", f"--storage.tsdb.path={folder / 'data'}"),
                    "--enable-feature=exemplar-storage",
                ],
                stderr=log,
            )
        self.url = self._wait_until_ready()

    def get(self, path: str, **query: Any) -> Any:
        """The `data` of `/api/v1/PATH`. Raises HTTPError, which says why a request is refused."""
        url = f"{self.url}/api/v1/{path}?{urlencode(query, doseq=True)}"
        with urllib.request.urlopen(url) as answer:
            return json.loads(answer.read())["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The current series: `metric` has the labels, `value` the time and the value."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _wait_until_ready(self) -> str:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            text = self._log.read_text()
            place = re.search(r'msg="Listening on" address=(\S+)', text)
            if place and "Server is ready" in text:
                return f"http://{place[1]}"
            time.sleep(0.02)
        self._process.kill()
        self._process.wait()
        raise RuntimeError(f"Prometheus does not start: {self._log.read_text()}")


def _changed(targets: tuple[str, ...], interval_s: float) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    every = f"{interval_s * 1000:.0f}ms"
    config["global"] = {"scrape_interval": every, "evaluation_interval": every}
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": list(targets)}]
    job["scrape_timeout"] = every
    del job["dns_sd_configs"]
    return config

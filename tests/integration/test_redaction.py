"""No secret reaches what the service tells of itself, whatever is sent to it and goes wrong."""

import base64
import hashlib
import json
import secrets as random
import textwrap

import httpx2
import pytest

from app.telemetry.logging import LoggingConfig
from app.yaml_file import YamlFile
from tests.chat_server import chat_server
from tests.integration.calls import until
from tests.integration.test_batches import archive
from tests.integration.webhook_calls import attempted, subscribe
from tests.otlp import collector
from tests.pictures import jpeg
from tests.receiver import said
from tests.service import ROOT

PLUGIN = '''
class Provider:
    """Fails as a careless one does: with all that it knows in an exception."""

    name = "careless"

    def __init__(self, settings):
        self._settings = settings

    def capabilities(self):
        from app.providers.base import Capabilities
        return Capabilities("careless-1", None, False, "stated")

    def estimate_tokens(self, image, domain):
        return 0

    async def classify(self, image, domain, **_):
        key = self._settings.azure_openai.api_key.get_secret_value()
        raise RuntimeError(f"401 for Authorization: Bearer {key}")

    async def aclose(self):
        return


def create(context):
    return Provider(context.settings)
'''


def plugin(folder):
    """On the path of the service that is given it."""
    metadata = folder / "careless-1.dist-info"
    metadata.mkdir(parents=True)
    (folder / "careless.py").write_text(textwrap.dedent(PLUGIN))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: careless\nVersion: 1\n")
    entry = "[classifier.providers]\ncareless = careless:create\n"
    (metadata / "entry_points.txt").write_text(entry)
    return f"{ROOT}:{folder}"


class Secrets:
    """Made up as they are asked for, and kept by name.

    Attributes:
        told_back: those which the answer to whoever sent them repeats.
    """

    def __init__(self) -> None:
        self.made: dict[str, str] = {}
        self.told_back: set[str] = set()

    def __call__(self, name: str, prefix: str = "sk-", *, told_back: bool = False) -> str:
        self.made[name] = text = prefix + random.token_hex(12)
        if told_back:
            self.told_back.add(name)
        return text

    def found_in(self, text: str, *, answers: bool = False) -> list[str]:
        known = self.made.keys() - self.told_back if answers else self.made
        return [name for name in known if self.made[name] in text]


def echoing(_):
    """A server of models that sends back what it was sent, in its error."""
    head, body = echoing.server.asked[-1]
    return "401 Unauthorized", {"error": {"message": f"{head} {json.dumps(body)}", "code": "401"}}


@pytest.mark.parametrize("renderer", ["json", "console"])
async def test_no_secret_is_in_logs_errors_metrics_or_spans(
    start_service, inbox, tmp_path, renderer
):
    secret = Secrets()
    key = secret("key")
    config = tmp_path / "config"
    config.mkdir()
    for each in (ROOT / "config").glob("*.yaml"):
        (config / each.name).write_bytes(each.read_bytes())
    async with collector() as spans, chat_server(echoing) as model:
        echoing.server = model
        service = start_service(
            CONFIG_DIR=str(config),
            PYTHONPATH=plugin(tmp_path / "plugin"),
            LOG_LEVEL="debug",
            LOG_RENDERER=renderer,
            API_KEYS=f"shop:{hashlib.sha256(key.encode()).hexdigest()}:admin",
            AZURE_OPENAI_ENDPOINT=model.url.removesuffix("/v1"),
            AZURE_OPENAI_API_KEY=secret("azure"),
            AZURE_OPENAI_DEPLOYMENT="eyes",
            WEBHOOK_SECRET="whsec_" + base64.b64encode(secret("callbacks", "").encode()).decode(),
            EGRESS_ALLOW=inbox.place,
            TRACING_ENABLED="true",
            OTEL_EXPORTER_OTLP_ENDPOINT=spans.url,
            OTEL_BSP_SCHEDULE_DELAY="100",
        )
        async with httpx2.AsyncClient(
            base_url=service.url, headers={"authorization": f"Bearer {key}"}, timeout=30
        ) as client:
            answers = await _send_all(client, secret, inbox)
            scrapes = [
                (await client.get("/metrics", headers={"accept": accept})).text
                for accept in ("text/plain", "application/openmetrics-text")
            ]
        service.process.terminate()
        await until(lambda: service.process.poll() is not None)
    log = service.log.read_text()

    assert {401, 404, 422, 500, 502} <= {each.status_code for each in answers}
    assert "Traceback" in log  # what is unexpected is told, but for the secret in it
    assert "RuntimeError: 401 for Authorization: Bearer ***" in log
    assert {"POST /classify", "chat eyes", "delivery"} <= {*spans.names}
    assert secret.found_in(log) == []
    errors = [each.text for each in answers if each.status_code >= 400]
    assert secret.found_in("\n".join(errors), answers=True) == []
    assert secret.found_in("\n".join(scrapes)) == []
    assert secret.found_in(b"".join(spans.bodies).decode("latin-1")) == []


async def _send_all(client, secret: Secrets, inbox) -> list[httpx2.Response]:
    answers: list[httpx2.Response] = []

    async def send(method: str, path: str, **how) -> httpx2.Response:
        answers.append(await client.request(method, path, **how))
        return answers[-1]

    async def classify(**how) -> httpx2.Response:
        return await send("POST", "/classify", **how)

    picture = jpeg()
    text = base64.b64encode(picture).decode()
    secret.made["picture"] = text[100:140]

    def file(name: str):
        return {"file": (f"{secret(f'filename of {name}', told_back=True)}.jpg", picture)}

    # Pictures, well-formed and not.
    for provider in ("local", "azure_openai", "careless"):
        await classify(
            files=file(provider),
            data={
                "domain": "flowers",
                "provider": provider,
                "metadata": json.dumps({secret("key of metadata"): secret("metadata")}),
            },
            headers={
                "idempotency-key": secret(f"idempotency key {provider}"),
                "cookie": f"session={secret(f'cookie {provider}')}",
                "user-agent": secret(f"agent {provider}"),
                "referer": f"https://example.org/?{secret(f'referer {provider}')}",
                "x-forwarded-for": secret(f"forwarded {provider}"),
                "tracestate": f"vendor={secret(f'tracestate {provider}')}",
                "baggage": f"user={secret(f'baggage {provider}')}",
            },
        )
    base = {"domain": "flowers", "provider": "local"}
    await classify(json={**base, "image_base64": text})
    await classify(json={**base, "image_base64": text[:-7] + secret("bad base64", "*")})
    await classify(json={**base, "image_base64": text}, headers={"prefer": "respond-async"})
    for place in (
        f"https://user:{secret('password of an image')}@example.invalid/",
        f"http://127.0.0.1:1/{secret('path of a refused image')}",
        f"https://example.invalid/?token={secret('token of an image')}",
        inbox.url(f"/?token={secret('token of a fetched image')}"),
        f"s3://{secret('bucket')}/{secret('object')}",
        f"{secret('scheme', 'x')}:",
    ):
        await classify(json={**base, "image_url": place})
    for place in (
        f"https://user:{secret('password of a callback')}@example.invalid/",
        inbox.url(f"/?token={secret('token of a callback')}"),
    ):
        await classify(json={**base, "image_base64": text, "callback_url": place})

    # What is wrong is told back to who sent it, and to nobody else.
    for field in ("domain", "provider", "expected"):
        wrong = secret(f"wrong {field}", told_back=True)
        await classify(json={**base, "image_base64": text, field: wrong})
    await classify(json={**base, "image_base64": text, secret("field", told_back=True): 1})
    await classify(content=b'{"domain": "' + secret("malformed").encode())
    json_of = {"content-type": "application/json"}
    await classify(content=b'{"domain": "' + secret("malformed").encode(), headers=json_of)
    form_of = {"content-type": f"multipart/form-data; boundary={secret('boundary')}"}
    await classify(content=secret("malformed form").encode(), headers=form_of)
    await classify(content=b"x", headers={"content-type": secret("media type")})

    # Who it is, and where.
    for header in ("authorization", "x-api-key"):
        await classify(headers={"authorization": "", header: f"Bearer {secret(f'wrong {header}')}"})
    for path in (
        f"/nowhere/{secret('path', told_back=True)}?key={secret('query')}",
        f"/results/{secret('result', told_back=True)}",
        f"/batches/{secret('batch', told_back=True)}",
        f"/domains/{secret('name', told_back=True)}",
        f"/results?domain={secret('filter')}&key={secret('unknown filter', told_back=True)}",
    ):
        await send("GET", path)
    await send(secret("METHOD", ""), "/classify")

    # Batches.
    manifest = "\n".join(
        json.dumps(
            {"url": url, "id": secret(f"item {url[:9]}"), "metadata": {"a": secret(url[:5])}}
        )
        for url in (
            inbox.url(f"/?token={secret('token of an item')}"),
            f"https://user:{secret('password of an item')}@example.invalid/",
            f"nonsense {secret('nonsense', told_back=True)}",
        )
    )
    options = {"domain": "flowers", "provider": "local"}
    listed = {"file": (f"{secret('manifest')}.jsonl", manifest.encode())}
    await send("POST", "/batches", data=options, files=listed)
    name = f"{secret('name in an archive')}.jpg"
    packed = {"file": (f"{secret('archive')}.zip", archive(**{name: picture}))}
    batch = (await send("POST", "/batches", data=options, files=packed)).json()

    async def over() -> bool:
        return (await client.get(f"/batches/{batch['id']}")).json()["status"] == "completed"

    await until(over)

    # Webhooks: their secret, their headers, their URL; and a receiver that sends them back.
    headers = {"Authorization": f"Bearer {secret('header of a webhook')}"}
    inbox.always = said("500 Internal Server Error", body=headers["Authorization"].encode())
    url = inbox.url(f"/hook?token={secret('token of a webhook')}")
    webhook = await subscribe(client, url, send=headers)
    secret.made["secret of a webhook"] = webhook["secret"]
    await send("POST", f"/webhooks/{webhook['id']}/test")
    await classify(json={**base, "image_base64": text})
    await attempted(client, webhook, 1)
    for given in ("url", "secret", "headers"):
        wrong = secret(f"wrong {given} of a webhook")
        value = {"a b": wrong} if given == "headers" else f"https://u:{wrong}@example.invalid"
        await send("POST", "/webhooks", json={"url": url, given: value})
    return answers


def test_what_tells_urls_is_quiet_unless_it_is_asked():
    """Even at debug: the shipped config names those loggers."""
    config = YamlFile.read(ROOT / "config" / "logging.yaml").validate(LoggingConfig)

    loud = ("httpcore2", "httpx2", "openai", "sqlalchemy", "docket", "azure", "botocore")
    assert {config.loggers[each].level for each in loud} == {"warning"}

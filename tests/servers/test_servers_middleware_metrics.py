"""The Prometheus middleware before a Starlette application, driven message by message."""

import asyncio
import subprocess
import sys
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

from servers import middleware
from servers.middleware import ModelMetrics, PrometheusMiddleware, add_tokens, gpu
from servers.paths import ROOT


class Client:
    """One side of an ASGI connection: what it has received, and whether it is still there."""

    def __init__(self, app, registry: CollectorRegistry) -> None:
        self.app = app
        self.registry = registry
        self.got: list[dict] = []
        self.left = asyncio.Event()
        self.allowed = asyncio.Semaphore(1_000)

    async def ask(self, path: str, method: str = "GET", body: bytes = b"") -> None:
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": [], "root_path": "", "scheme": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
        }  # fmt: skip
        asked = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            if asked:
                return asked.pop()
            await self.left.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            await self.allowed.acquire()
            self.got.append(message)

        await self.app(scope, receive, send)

    async def ask_all(self, *paths: str) -> None:
        for path in paths:
            await self.ask(path)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def ended(self, route: str, status: str, method: str = "GET") -> float | None:
        return self.value("model_requests_total", route=route, method=method, status=status)

    def active(self, route: str, method: str = "GET") -> float | None:
        return self.value("model_active_requests", route=route, method=method)


go_on = asyncio.Event()


async def plain(request: Request):
    add_tokens(request.scope, 3)
    return PlainTextResponse("yes")


async def slow(request: Request):
    await go_on.wait()
    return PlainTextResponse("yes")


async def broken(request: Request):
    raise RuntimeError("no")


async def stream(request: Request):
    async def pieces():
        yield b"one"
        await go_on.wait()
        yield b"two"

    return StreamingResponse(pieces())


async def breaks_off(request: Request):
    async def pieces():
        yield b"one"
        raise RuntimeError("no")

    return StreamingResponse(pieces())


@pytest.fixture
def client() -> Client:
    global go_on
    go_on = asyncio.Event()
    registry = CollectorRegistry()
    routes = [
        Route("/plain", plain, methods=["GET", "POST"]),
        Route("/items/{name}", plain),
        Route("/slow", slow),
        Route("/broken", broken),
        Route("/stream", stream),
        Route("/breaks-off", breaks_off),
        Mount("/under", routes=[Route("/items/{name}", plain)]),
    ]
    metrics = ModelMetrics(registry)
    app = Starlette(routes=routes, middleware=[Middleware(PrometheusMiddleware, metrics=metrics)])
    return Client(app, registry)


async def until(holds) -> None:
    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(0)
    pytest.fail("it never came to that")


@pytest.mark.parametrize(
    ("path", "method", "route", "status"),
    [
        ("/plain", "GET", "/plain", "200"),
        ("/plain", "POST", "/plain", "200"),
        ("/plain", "DELETE", "/plain", "405"),
        ("/items/7", "GET", "/items/{name}", "200"),
        ("/under/items/7", "GET", "/under/items/{name}", "200"),
        ("/under/nothing", "GET", "/under/{path}", "404"),
        ("/nowhere/1", "GET", "unknown", "404"),
        ("/plain", "BREW", "/plain", "405"),
    ],
)
def test_a_request_is_counted_under_its_routes_template(client, path, method, route, status):
    asyncio.run(client.ask(path, method))
    labels = {"route": route, "method": "other" if method == "BREW" else method}
    assert client.ended(status=status, **labels) == 1
    assert client.value("model_request_latency_seconds_count", status=status, **labels) == 1
    assert client.active(**labels) == 0


def test_an_end_that_is_expected_is_exported_as_0_before_it_happens():
    metrics = ModelMetrics(CollectorRegistry())
    metrics.expect("/items/{item}", "POST", ("200", "429"))
    asked = {"route": "/items/{item}", "method": "POST"}
    name = "model_requests_total"
    assert metrics.registry.get_sample_value(name, {**asked, "status": "429"}) == 0
    assert metrics.registry.get_sample_value(name, {**asked, "status": "500"}) is None


def test_ten_paths_of_one_template_and_ten_unknown_ones_are_two_series(client):
    asyncio.run(client.ask_all(*(f"/{under}/{n}" for under in ("items", "no") for n in range(10))))
    assert client.ended("/items/{name}", "200") == 10
    assert client.ended("unknown", "404") == 10


def test_a_stream_is_active_until_its_last_byte_and_its_latency_ends_there(client):
    async def scenario():
        asking = asyncio.create_task(client.ask("/stream"))
        await until(lambda: any(message.get("body") == b"one" for message in client.got))
        assert client.active("/stream") == 1
        assert client.ended("/stream", "200") is None
        go_on.set()
        await asking

    asyncio.run(scenario())
    assert client.active("/stream") == 0
    assert client.ended("/stream", "200") == 1


def test_an_answer_whose_last_bytes_wait_for_the_network_is_still_active(client):
    async def scenario():
        client.allowed = asyncio.Semaphore(1)
        asking = asyncio.create_task(client.ask("/plain"))
        await until(lambda: len(client.got) == 1)
        await asyncio.sleep(0)
        assert client.active("/plain") == 1
        client.allowed.release()
        await asking

    asyncio.run(scenario())
    assert client.ended("/plain", "200") == 1


@pytest.mark.parametrize("path", ["/stream", "/slow"])
def test_a_client_that_leaves_is_counted_as_that(client, path):
    async def scenario():
        asking = asyncio.create_task(client.ask(path))
        await until(lambda: client.active(path) == 1)
        for _ in range(5):
            await asyncio.sleep(0)
        client.left.set()
        for _ in range(5):
            await asyncio.sleep(0)
        go_on.set()
        await asking

    asyncio.run(scenario())
    assert client.ended(path, "client_disconnected") == 1
    assert client.ended(path, "200") is None
    assert client.active(path) == 0


def test_a_server_that_raises_on_sending_to_a_client_that_left_is_understood(client):
    async def gone(message):
        raise OSError("gone")

    async def never():
        await asyncio.Event().wait()

    scope = {"type": "http", "method": "GET", "path": "/plain", "headers": [], "app": client.app}
    before = PrometheusMiddleware(PlainTextResponse("yes"), ModelMetrics(CollectorRegistry()))
    with pytest.raises(OSError, match="gone"):
        asyncio.run(before(scope, never, gone))
    found = before.metrics.registry.get_sample_value
    labels = {"route": "/plain", "method": "GET"}
    assert found("model_requests_total", labels | {"status": "client_disconnected"}) == 1
    assert found("model_active_requests", labels) == 0


@pytest.mark.parametrize(("path", "status"), [("/broken", "500"), ("/breaks-off", "incomplete")])
def test_a_handler_that_raises_is_counted_and_no_longer_active(client, path, status):
    with pytest.raises(RuntimeError):
        asyncio.run(client.ask(path))
    assert client.ended(path, status) == 1
    assert client.active(path) == 0


def test_tokens_are_counted_under_the_route_and_need_no_middleware(client):
    asyncio.run(client.ask_all("/items/1", "/items/2"))
    assert client.value("model_tokens_generated_total", route="/items/{name}") == 6
    add_tokens({}, 5)


def test_what_is_no_http_passes_through():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    before = PrometheusMiddleware(app, ModelMetrics(CollectorRegistry()))
    asyncio.run(before({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]


class FakeNvml:
    """The binding's calls, for two GPUs of which one has fallen off the bus."""

    class NVMLError(Exception):
        pass

    @staticmethod
    def nvmlInit() -> None:  # noqa: N802
        pass

    @staticmethod
    def nvmlDeviceGetCount() -> int:  # noqa: N802
        return 2

    @staticmethod
    def nvmlDeviceGetHandleByIndex(index: int) -> int:  # noqa: N802
        return index

    @classmethod
    def nvmlDeviceGetMemoryInfo(cls, handle: int) -> SimpleNamespace:  # noqa: N802
        if handle == 1:
            raise cls.NVMLError
        return SimpleNamespace(used=5 << 30)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch):
    """Puts a binding (or none) in the place of `pynvml`."""

    def use(binding: object) -> None:
        gpu._nvml.cache_clear()
        monkeypatch.setitem(sys.modules, "pynvml", binding)

    yield use
    gpu._nvml.cache_clear()


def gpu_family(registry: CollectorRegistry):
    return [family for family in registry.collect() if family.name == middleware.GPU_MEMORY]


def test_gpu_memory_is_shown_for_the_gpus_that_answer(client, nvml):
    nvml(FakeNvml)
    (family,) = gpu_family(client.registry)
    assert [(one.labels, one.value) for one in family.samples] == [({"gpu": "0"}, 5 << 30)]


def test_gpu_memory_is_absent_and_not_zero_without_nvml(client, nvml):
    class NoDriver(FakeNvml):
        @classmethod
        def nvmlInit(cls) -> None:  # noqa: N802
            raise cls.NVMLError("driver not loaded")

    nvml(NoDriver)
    assert gpu_family(client.registry) == []
    nvml(None)  # Python then says that there is no such module.
    assert gpu_family(client.registry) == []


def test_it_brings_nothing_into_an_engine_but_starlette_and_the_prometheus_client():
    code = "import sys, servers.middleware; print(*{name.split('.')[0] for name in sys.modules})"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(answer.stdout.split()) - sys.stdlib_module_names
    brought = {name for name in loaded if not name.startswith(("_", "sitecustomize"))}
    assert "servers" in brought
    assert brought <= {
        "servers", "starlette", "prometheus_client", "anyio", "sniffio", "idna", "exceptiongroup",
        "typing_extensions", "multipart", "python_multipart",
    }, brought  # fmt: skip

"""How a TorchServe instance is started. Pure but for `prepare` and `version`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from servers import environments, models, probe, sockets
from servers.contract import Launch, Request, Say, Value
from servers.locks import write_atomically
from servers.models.build import INSIDE
from servers.torchserve import java, metrics

MODEL = "classify"
_ARCHIVING = ".archive."
# `/.ts.sock.` and the five digits of a worker's number.
_SOCKET_NAME_BYTES = 15
_HERE = Path(__file__).parent
_SOURCES = (_HERE / "inside" / "handler.py", INSIDE / "serving" / "classifying.py")

LOG4J = """\
<?xml version="1.0" encoding="UTF-8"?>
<Configuration>
  <Appenders>
    <Console name="STDOUT" target="SYSTEM_OUT">
      <PatternLayout pattern="%d{ISO8601} [%-5p] %t %c - %m%n"/>
    </Console>
  </Appenders>
  <Loggers>
    <Logger name="ACCESS_LOG" level="off"/>
    <Logger name="MODEL_METRICS" level="off"/>
    <Logger name="TS_METRICS" level="off"/>
    <Logger name="org.pytorch.serve.wlm" level="warn"/>
    <Logger name="io.netty" level="error"/>
    <Logger name="org.apache" level="off"/>
    <Root level="info">
      <AppenderRef ref="STDOUT"/>
    </Root>
  </Loggers>
</Configuration>
"""
"""All to the instance's log, and no line for each request: the load test has its own records."""


def launch(request: Request) -> Launch:
    """TorchServe's server as `torchserve --foreground` would start it, without that wrapper.

    The wrapper keeps one pid file for the whole machine and outlives or forgets its server.
    """
    python = request.interpreter
    packages = environments.site_packages(python) or python.parent.parent / "lib/site-packages"
    temporary = sockets.folder(request.workspace, _SOCKET_NAME_BYTES)
    argv = (
        str(java.find() or "java"),
        f"-Dmodel_server_home={packages}",
        f"-Dlog4j.configurationFile=file://{request.workspace / 'log4j2.xml'}",
        f"-Djava.io.tmpdir={temporary}",
        # Its counters would lie in the system's temporary folder.
        "-XX:-UsePerfData",
        f"-Xmx{request.settings['heap_mib']}m",
        *("-cp", str(packages / "ts" / "frontend" / "*")),
        "org.pytorch.serve.ModelServer",
        *("--python", str(python)),
        *("--ts-config-file", str(request.workspace / "config.properties")),
        *("--model-store", str(request.workspace / "store")),
        *("--models", f"{MODEL}={MODEL}.mar"),
        "--no-config-snapshot",
        "--disable-token-auth",
    )
    address = f"http://{request.host}:{request.ports['http']}"
    return Launch(
        argv=argv,
        env={
            # Workers keep their files where the server keeps its own.
            "TMPDIR": str(temporary),
            "TEMP": str(temporary),
            "OMP_NUM_THREADS": str(request.settings["threads"]),
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONDONTWRITEBYTECODE": "",
        },
        base_url=f"{address}/predictions",
        # `/ping` says healthy before any worker has loaded the model.
        ready_url=f"http://{request.host}:{request.ports['management']}/models/{MODEL}#READY",
        metrics_url=f"http://{request.host}:{request.ports['metrics']}/metrics",
        ready_timeout_s=180.0,
        stop_grace_s=20.0,
        cleanup=sockets.cleanup(request.workspace, _SOCKET_NAME_BYTES),
    )


def prepare(request: Request, say: Say) -> None:
    """Have a Java, and write the configuration and the model archive into the workspace."""
    java.ensure()
    sockets.make(request.workspace, _SOCKET_NAME_BYTES)
    write_atomically(request.workspace / "log4j2.xml", LOG4J)
    write_atomically(request.workspace / "metrics.yaml", yaml.safe_dump(metrics.configuration()))
    write_atomically(request.workspace / "config.properties", configuration(request))
    write_atomically(request.workspace / "model-config.yaml", model_configuration(request.settings))
    _archive(request, models.classifier(say))


def configuration(request: Request) -> str:
    """The text of `config.properties`: addresses, metrics; nothing that listens elsewhere."""
    host, ports = request.host, request.ports
    lines = {
        "inference_address": f"http://{host}:{ports['http']}",
        "management_address": f"http://{host}:{ports['management']}",
        "metrics_address": f"http://{host}:{ports['metrics']}",
        "grpc_inference_address": host,
        "grpc_inference_port": ports["grpc"],
        "grpc_management_address": host,
        "grpc_management_port": ports["grpc_management"],
        "metrics_mode": "prometheus",
        "metrics_config": request.workspace / "metrics.yaml",
        "disable_system_metrics": "true",
        # Bytes come to the handler as they are: it says itself what is wrong with them.
        "decode_input_request": "false",
        "install_py_dep_per_model": "false",
        "number_of_gpu": 0,
        "use_native_io": "true",
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def model_configuration(settings: Mapping[str, Value]) -> str:
    """The text of the archive's `model-config.yaml`. Delays are whole milliseconds, rounded up."""
    delay_us = settings["max_queue_delay_us"]
    assert isinstance(delay_us, int)
    return yaml.safe_dump(
        {
            "minWorkers": settings["instances"],
            "maxWorkers": settings["instances"],
            "batchSize": settings["max_batch_size"],
            "maxBatchDelay": -(-delay_us // 1000),
            "jobQueueSize": settings["max_queue_size"],
            "responseTimeout": 120,
            "handler": {"threads": settings["threads"]},
        },
        sort_keys=False,
    )


def version(base_url: str) -> str | None:
    """The version that a running TorchServe says it is; `None` if it does not answer."""
    document = probe.get_json(f"{base_url.removesuffix('/predictions')}/api-description")
    try:
        return str(document["info"]["version"])
    except (KeyError, TypeError):
        return None


def _archive(request: Request, classifier: Path) -> None:
    """Make `store/classify.mar` with TorchServe's own archiver. Raises `ServerError` if it fails.

    Its temporary files are its own; a model store holds archives and nothing else.
    """
    store = request.workspace / "store"
    store.mkdir(parents=True, exist_ok=True)
    handler, *others = _SOURCES
    extra = [*others, classifier / "tokenizer.json"]
    argv = (
        *(str(request.interpreter), "-E", "-s", "-m", "model_archiver.model_packaging"),
        *("--model-name", MODEL, "--version", "1.0", "--force"),
        *("--serialized-file", str(classifier / "model.onnx")),
        *("--handler", str(handler)),
        *("--extra-files", ",".join(map(str, extra))),
        *("--config-file", str(request.workspace / "model-config.yaml")),
        *("--export-path", str(store), "--archive-format", "zip-store"),
    )
    for left in request.workspace.glob(f"{_ARCHIVING}*"):
        # A start that was killed could not remove it.
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=request.workspace, prefix=_ARCHIVING) as temporary:
        environments.run("TorchServe's model archive", argv, Path(temporary), {}, timeout_s=300)

"""What `deploy/` holds is what the bot understands."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from bot.alive import is_alive
from bot.cli import COMMANDS
from bot.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PYTHON = "python -m bot "
NO_REGISTRY = ("resolve", "pull access", "connection refused", "timeout", "No matching distribution", "Max retries")
KNOWN = {name.upper() for name in Settings.model_fields}


def lines_of(path: str) -> list[str]:
    return [line for line in (ROOT / path).read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]


def test_the_procfile_names_commands() -> None:
    """By the module, which needs no installation: Heroku installs what requirements.txt names, and not the project."""
    processes = dict(line.split(": ", 1) for line in lines_of("Procfile"))
    assert processes == {
        "release": f"{PYTHON}migrate",
        "web": f"{PYTHON}web",
        "worker": f"{PYTHON}worker",
    }


def test_heroku_takes_it_for_python() -> None:
    """The buildpack looks for one of these files, and takes its own newest Python where no file names another."""
    managers = [name for name in ("requirements.txt", "Pipfile", "poetry.lock", "uv.lock") if (ROOT / name).exists()]
    assert managers == ["requirements.txt"], "more than one is a mistake, says the buildpack"
    assert lines_of("requirements.txt") == ["-r requirements.lock"]


def test_the_image() -> None:
    """A pinned base, a user of its own, a health check, signals that reach the program, and no code in the volume."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0] != "#"]
    found = {name: [rest for step, rest in steps if step == name] for name, _ in steps}
    assert all("@sha256:" in base for base in found["FROM"])
    assert found["USER"] == ["bot"]
    assert json.loads(found["ENTRYPOINT"][0]) == ["switchboard-bot"]
    assert json.loads(found["CMD"][0]) == ["serve"]
    assert json.loads(found["HEALTHCHECK"][0].partition(" CMD ")[2]) == ["python", "-m", "bot.alive"]
    assert found["VOLUME"] == ["/data"] == found["WORKDIR"]
    assert found["ENV"] == ["PYTHONPATH=/flows"]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_image_can_be_built() -> None:
    """Where there are a Docker daemon and the registries; elsewhere the test above has to do."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:  # noqa: S603
        pytest.skip("no Docker daemon is there")
    command = [docker, "build", "--quiet", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own Dockerfile
    if done.returncode and any(words in done.stderr for words in NO_REGISTRY):
        pytest.skip("the registries are out of reach")
    assert done.returncode == 0, done.stderr[-2000:]


def _services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return services


def test_compose_runs_commands_with_settings() -> None:
    ours = {name: service for name, service in _services().items() if service["image"] == "switchboard-bot"}
    assert {name: service["command"] for name, service in ours.items()} == {
        "migrate": ["migrate"],
        "web": ["web"],
        "worker": ["worker"],
    }
    for service in ours.values():
        assert set(service["environment"]) <= KNOWN
    assert (
        ours["web"]["depends_on"]
        == ours["worker"]["depends_on"]
        == {"migrate": {"condition": "service_completed_successfully"}}
    )


def test_kubernetes_runs_commands_with_probes() -> None:
    objects = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))
    running = [made for made in objects if "template" in made["spec"]]
    pods = {made["metadata"]["name"]: made["spec"]["template"]["spec"] for made in running}
    assert len(pods) == 3
    for pod in pods.values():
        assert pod["enableServiceLinks"] is False
        (container,) = pod["containers"]
        assert container["args"][0] in COMMANDS
        assert {variable["name"] for variable in container.get("env", ())} <= KNOWN
        assert container["securityContext"]["runAsNonRoot"] is True
    (web,), (worker,) = (pods[f"switchboard-bot-{part}"]["containers"] for part in ("web", "worker"))
    assert web["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert {part["livenessProbe"]["httpGet"]["path"] for part in (web, worker)} == {"/healthz"}
    (service,) = (made for made in objects if made["kind"] == "Service")
    labels = next(made for made in objects if made["metadata"]["name"] == "switchboard-bot-web")["spec"]["template"]
    assert service["spec"]["selector"].items() <= labels["metadata"]["labels"].items()


def test_the_unit_of_systemd() -> None:
    """The code of wrong settings is not tried again."""
    text = (DEPLOY / "switchboard-bot.service").read_text(encoding="utf-8")
    assert "ExecStart=/opt/switchboard-bot/bin/switchboard-bot serve" in text
    assert "RestartPreventExitStatus=2" in text
    if verifier := shutil.which("systemd-analyze"):
        unit = DEPLOY / "switchboard-bot.service"
        done = subprocess.run([verifier, "verify", unit], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
        about_it = [line for line in done.stderr.splitlines() if "switchboard-bot.service" in line]
        assert [line for line in about_it if "is not executable" not in line] == []  # it is not installed here


def test_every_file_is_in_the_list() -> None:
    listed = (DEPLOY / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in DEPLOY.iterdir() if path.name != "README.md" and f"`{path.name}`" not in listed] == []


@pytest.fixture
def port() -> Iterator[int]:
    """A server that is well, and says so at `/healthz`."""

    class Well(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Well)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("environment", "alive"),
    [
        ({"PORT": "{}"}, True),
        ({"PORT": "1", "METRICS_PORT": "{}"}, True),
        ({"PORT": "1", "METRICS_PORT": "tcp://10.0.0.7:9090"}, False),
        ({"PORT": "1"}, False),
        ({"PORT": "1", "METRICS_PORT": ""}, False),
    ],
)
def test_whether_it_is_alive(port: int, environment: dict[str, str], alive: bool) -> None:
    assert is_alive({name: value.format(port) for name, value in environment.items()}) is alive

"""Environments are built by the real uv, from small wheels made here; no network."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from eventually import eventually

from servers import environments, paths, wheelhouse
from servers.contract import Environment
from servers.errors import ServerError
from servers.locks import locked

ROOT = paths.ROOT
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def make_wheel(folder: Path, name: str, version: str) -> str:
    """A wheel with one module; returns the SHA-256 of it."""
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in files) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for each, text in files.items():
            archive.writestr(each, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Environment:
    """An environment that wants `labtoy` 1.0, in a project folder of its own, offline."""
    uv = environments.find_uv()
    monkeypatch.setenv("PATH", f"{Path(uv).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    wheels, folder = tmp_path / "wheels", tmp_path / "env"
    wheels.mkdir()
    folder.mkdir()
    digest = make_wheel(wheels, "labtoy", "1.0")
    (folder / "requirements.txt").write_text(f"labtoy==1.0 \\\n    --hash=sha256:{digest}\n")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    paths.environments().mkdir(parents=True)
    return Environment("toy", folder, python=PYTHON)


def ensure(environment: Environment) -> tuple[Path, list[str]]:
    said: list[str] = []
    return environments.ensure(environment, "cpu", said.append), said


def version_in(python: Path, module: str) -> str:
    code = f"import {module}; print({module}.VERSION)"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


def test_built_once_and_then_found(toy):
    python, said = ensure(toy)
    assert version_in(python, "labtoy") == "1.0"
    assert "installing 1 packages" in " ".join(said)
    assert ensure(toy) == (python, [])


def test_an_environment_does_not_see_the_projects_packages(toy):
    python, _ = ensure(toy)
    assert version_in(python, "psutil") == ""


def test_new_requirements_rebuild_it(toy, tmp_path):
    ensure(toy)
    digest = make_wheel(tmp_path / "wheels", "labtoy", "2.0")
    (toy.folder / "requirements.txt").write_text(f"labtoy==2.0 --hash=sha256:{digest}\n")
    python, said = ensure(toy)
    assert version_in(python, "labtoy") == "2.0"
    assert said


def test_one_that_lost_its_python_is_rebuilt(toy):
    python, _ = ensure(toy)
    python.unlink()
    again, _ = ensure(toy)
    assert version_in(again, "labtoy") == "1.0"


def test_two_callers_build_it_once(toy):
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: ensure(toy), range(2)))
    assert sum("built in" in " ".join(said) for _, said in results) == 1


def test_torch_comes_from_the_users_wheelhouse_and_is_not_removed_by_the_sync(toy, tmp_path):
    make_wheel(tmp_path / "wheels", "torch", "9.9.9+cpu")
    python, _ = ensure(replace(toy, torch="9.9.9"))
    assert version_in(python, "torch") == "9.9.9+cpu"
    assert version_in(python, "labtoy") == "1.0"


def test_a_wrong_hash_fails_saying_so_and_leaves_nothing(toy):
    (toy.folder / "requirements.txt").write_text(f"labtoy==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(ServerError, match=r"(?s)'toy' could not be built.*[Hh]ash mismatch"):
        ensure(toy)
    assert [path.name for path in paths.environments().iterdir() if path.is_dir()] == []


def test_a_missing_requirements_file_is_named(toy):
    (toy.folder / "requirements.txt").unlink()
    with pytest.raises(ServerError, match=r"requirements\.txt"):
        ensure(toy)


def test_missing_uv_tells_how_to_get_it(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError, match="make uv"):
        ensure(toy)


@pytest.fixture
def slow_uv(toy, tmp_path, monkeypatch) -> Path:
    """A stand-in for uv that makes the environment really and then installs for ever."""
    folder = tmp_path / "slow"
    folder.mkdir()
    script = folder / "uv"
    real = shutil.which("uv")
    script.write_text(
        f'#!/bin/sh\n[ "$1" = venv ] && exec {real} "$@"\necho $$ > {folder}/pid\nexec sleep 600\n'
    )
    script.chmod(0o755)
    return folder


def build_elsewhere(toy: Environment, slow_uv: Path) -> subprocess.Popen:
    code = f"""
        from pathlib import Path
        from servers import environments, paths
        from servers.contract import Environment
        paths.ROOT = Path({str(paths.ROOT)!r})
        toy = Environment("toy", Path({str(toy.folder)!r}), python={PYTHON!r})
        environments.ensure(toy, "cpu", print)
    """
    environment = {**os.environ, "PATH": f"{slow_uv}{os.pathsep}{os.environ['PATH']}"}
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert eventually(lambda: (slow_uv / "pid").exists() and (slow_uv / "pid").read_text())
    return program


def test_ctrl_c_while_it_builds_stops_uv_and_leaves_nothing_half_done(toy, slow_uv):
    program = build_elsewhere(toy, slow_uv)
    # The program may not have come back from starting uv yet: only then can it stop it.
    time.sleep(1.0)
    program.send_signal(signal.SIGINT)
    assert program.wait(timeout=60) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int((slow_uv / "pid").read_text()), 0)
    assert [path.name for path in paths.environments().iterdir() if path.is_dir()] == []
    assert version_in(ensure(toy)[0], "labtoy") == "1.0"


def test_kill_9_while_it_builds_is_not_taken_for_finished(toy, slow_uv):
    program = build_elsewhere(toy, slow_uv)
    program.kill()
    program.wait(timeout=60)
    orphan = int((slow_uv / "pid").read_text())
    waited = []

    def stop_orphan():
        waited.append(True)
        os.kill(orphan, signal.SIGKILL)

    # The orphaned uv still writes there, so it still holds the lock.
    with locked(paths.environments() / ".toy.lock", stop_orphan):
        assert waited
    assert version_in(ensure(toy)[0], "labtoy") == "1.0"


def test_pips_settings_reach_uv_under_its_own_names(tmp_path, monkeypatch):
    for name in ("UV_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_FIND_LINKS", "/a https://example.org/wheels")
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://example.org/simple\nfind-links = /b\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    environment = wheelhouse.uv_environment()
    assert environment["UV_FIND_LINKS"] == "/a,https://example.org/wheels"
    assert environment["UV_DEFAULT_INDEX"] == "https://example.org/simple"
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert wheelhouse.find_links() == "/b"
    monkeypatch.setenv("UV_FIND_LINKS", "/c")
    assert wheelhouse.uv_environment()["UV_FIND_LINKS"] == "/c"


def test_a_wheelhouse_with_another_version_is_not_used(tmp_path):
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl").touch()
    assert wheelhouse.has_wheel(str(tmp_path), "torch", "2.13.0")
    assert wheelhouse.has_wheel(f"https://example.org,file://{tmp_path}", "torch", "2.13.0")
    assert not wheelhouse.has_wheel(str(tmp_path), "torch", "2.13")
    assert not wheelhouse.has_wheel(None, "torch", "2.13.0")

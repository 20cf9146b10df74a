"""Which Java TorchServe gets: the user's, PATH's, one unpacked; never one that is too old."""

import os
import subprocess
from pathlib import Path

import pytest

from servers import packages, paths
from servers.errors import ServerError
from servers.torchserve import java


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """A machine without any Java, and a lab that has unpacked none."""
    java.release.cache_clear()
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(paths, "ROOT", tmp_path / "project")
    yield
    java.release.cache_clear()


def program(path: Path, version: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("said", "release"), [("17.0.15", 17), ("21", 21), ("1.8.0_412", 8), ("11.0.2", 11)]
)
def test_the_release_is_read_from_what_it_says(tmp_path, said, release):
    assert java.release(program(tmp_path / "java", said)) == release


def test_a_program_that_is_no_java_has_no_release(tmp_path):
    silent = program(tmp_path / "java", "17")
    silent.write_text("#!/bin/sh\nexit 0\n")
    assert java.release(silent) is None
    assert java.release(tmp_path / "absent") is None


def test_java_home_comes_before_path(tmp_path, monkeypatch):
    on_path = program(tmp_path / "path" / "java", "17.0.1")
    assert java.ensure() == on_path
    at_home = program(tmp_path / "jdk" / "bin" / "java", "21.0.1")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    assert java.ensure() == at_home


def test_one_that_is_too_old_is_passed_over(tmp_path, monkeypatch):
    program(tmp_path / "jdk" / "bin" / "java", "11.0.2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    newer = program(tmp_path / "path" / "java", "17.0.1")
    assert java.ensure() == newer


def test_where_none_can_be_had_the_error_says_what_there_is_and_what_to_do(tmp_path):
    old = program(tmp_path / "path" / "java", "11.0.2")
    with pytest.raises(ServerError) as refused:
        java.ensure()
    words = str(refused.value)
    assert f"{old} is 11" in words
    assert "no apt-get" in words
    assert "apt install openjdk-17-jre-headless" in words
    assert "JAVA_HOME" in words


def test_what_lies_at_a_system_s_root_is_found_in_the_unpacked_package(tmp_path):
    conf = tmp_path / "etc" / "java"
    conf.mkdir(parents=True)
    (conf / "security").write_text("policy")
    home = tmp_path / "usr" / "lib" / "jvm"
    home.mkdir(parents=True)
    (home / "conf").symlink_to("/etc/java")
    (home / "certs").symlink_to("/etc/ssl/of/another/package")
    packages._relink(tmp_path)
    assert (home / "conf" / "security").read_text() == "policy"
    assert not (home / "conf").readlink().is_absolute()
    assert (home / "certs").readlink() == Path("/etc/ssl/of/another/package")


@pytest.mark.engine
@pytest.mark.skipif(not Path("/usr/bin/apt-get").exists(), reason="needs Debian's apt-get")
def test_the_system_s_package_is_unpacked_without_root_and_runs(tmp_path, monkeypatch):
    tools = tmp_path / "path"
    tools.mkdir()
    for folder in os.defpath.split(os.pathsep):
        for tool in Path(folder).glob("*") if folder else ():
            if tool.name not in ("java", "javac") and not (tools / tool.name).exists():
                (tools / tool.name).symlink_to(tool)
    assert java.find() is None
    found = java.ensure()
    assert found.is_relative_to(tmp_path / "project" / ".lab" / "tools" / "java")
    assert java.release(found) in (17, 21)
    assert java.ensure() == found
    # It reads its security settings, which the package keeps in /etc, from where it lies.
    settings = subprocess.run(
        [found, "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=True
    )
    assert f"java.home = {found.parent.parent}" in settings.stderr
    conf = found.parent.parent / "conf" / "security" / "java.security"
    assert conf.resolve().is_relative_to(tmp_path)
    assert conf.is_file()

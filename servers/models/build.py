"""Making a model once: a script in an environment of its own, a folder that is whole or absent.

What is made lies in `servers.paths.models()/<name>`. A stamp inside it says what it was made from
(script, pinned packages); as long as that holds, asking again costs a file read.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from servers import environments, paths
from servers.contract import Environment, Say
from servers.errors import ServerError
from servers.locks import locked

HERE = Path(__file__).parent
INSIDE = HERE / "inside"
ENVIRONMENT = Environment(name="models", folder=HERE / "env", torch="2.13.0")
STAMP = "stamp.txt"


def build(name: str, script: str, say: Say) -> Path:
    """The folder of the model `name`, made by `inside/<script>` if it is not there yet.

    Two processes that ask at once make it once: the second waits. An interruption or a failure
    leaves what was there before. Raises `ServerError` with the script's last words.
    """
    folder = paths.models() / name
    stamp = _stamp(script)
    if _is_built(folder, stamp):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    waiting = f"Another process is making the model {name}; waiting for it."
    with locked(folder.parent / f".{name}.lock", lambda: say(waiting)) as lock:
        if _is_built(folder, stamp):
            return folder
        python = environments.ensure(ENVIRONMENT, "cpu", say)
        for abandoned in folder.parent.glob(f".{name}.*.partial"):
            shutil.rmtree(abandoned, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".partial", dir=folder.parent))
        try:
            say(f"Making the model {name} (once; half a minute).")
            _run(name, python, INSIDE / script, partial, lock, say)
            _finish(partial, folder, stamp)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        say(f"The model {name} is in {folder}.")
    return folder


def _is_built(folder: Path, stamp: str) -> bool:
    try:
        return (folder / STAMP).read_text(encoding="utf-8").strip() == stamp
    except OSError:
        return False


def _stamp(script: str) -> str:
    """A digest of everything a model is made from: the scripts and the pinned packages."""
    sources = [INSIDE / script, INSIDE / "packaged.py", *sorted(ENVIRONMENT.folder.glob("*.txt"))]
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _run(name: str, python: Path, script: Path, folder: Path, lock: int, say: Say) -> None:
    """Runs the script to its end, passing on what it prints; its stderr is kept for a failure.

    The lock goes along: if we are killed, it is held until the script has ended as well.
    `-E -s` keeps the caller's `PYTHONPATH` and user packages out of the isolated environment.
    """
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr:
        process = subprocess.Popen(
            [python, "-E", "-s", script, folder],
            stdout=subprocess.PIPE,
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**environments.variables(), **offline},
            pass_fds=(lock,),
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                say(f"  {line.rstrip()}")
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if code != 0:
            stderr.seek(0)
            last = "\n".join(stderr.read().strip().splitlines()[-8:])
            raise ServerError(
                f"Making the model {name} failed: {script.name} ended with code {code}. Nothing "
                f"was changed; the same command tries again. Its last words:\n{last}"
            )


def _finish(partial: Path, folder: Path, stamp: str) -> None:
    """Puts the finished folder in its place, readable by every user (a container, a server)."""
    partial.chmod(0o755)
    for file in partial.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
    (partial / STAMP).write_text(stamp + "\n", encoding="utf-8")
    if folder.exists():
        # An outdated model steps aside first: a folder cannot be renamed onto a full one.
        old = Path(
            tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent)
        )
        folder.rename(old / folder.name)
        partial.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        partial.rename(folder)

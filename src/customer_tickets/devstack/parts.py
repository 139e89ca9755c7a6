"""How each part of the stack is started: its command line, its settings, when it is healthy."""

import json
import os
import signal
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from customer_tickets.devstack.keys import Keys
from customer_tickets.devstack.npm import NpmParts
from customer_tickets.devstack.ports import Ports
from customer_tickets.devstack.postgres import Postgres
from customer_tickets.devstack.process import Child, answers

# The most rows one request gets, as on hosted projects.
_MAX_ROWS = 1000
_TOKEN_LIFETIME = 3600
# Where programs and, for the parts in Python, packages are.
_KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Parts:
    """Makes the parts of one stack; none of them is started here."""

    folder: Path
    keys: Keys
    ports: Ports
    postgres: Postgres
    npm: NpmParts
    faults: bool = False
    # Whether data is kept, and has to survive a power cut.
    durable: bool = False

    def rest(self) -> Child:
        """PostgREST, with a hosted project's settings."""
        settings = {
            "DB_URI": self.postgres.dsn(user="authenticator"),
            "DB_SCHEMAS": "public",
            "DB_ANON_ROLE": "anon",
            "DB_EXTRA_SEARCH_PATH": "public,extensions",
            "DB_MAX_ROWS": str(_MAX_ROWS),
            "DB_POOL": "10",
            "DB_CHANNEL": "pgrst",
            "DB_CHANNEL_ENABLED": "true",
            "DB_USE_LEGACY_GUCS": "false",
            "JWT_SECRET": self.keys.jwt_secret,
            "SERVER_HOST": "127.0.0.1",
            "SERVER_PORT": str(self.ports["rest"]),
            "ADMIN_SERVER_PORT": str(self.ports["rest_admin"]),
            # From "error" on it logs refused requests with their query strings: values of rows.
            "LOG_LEVEL": "crit",
        }
        return self._child(
            "PostgREST",
            [self.npm.postgrest()],
            {f"PGRST_{name}": value for name, value in settings.items()},
            (self.ports["rest_admin"], "/ready"),
        )

    def auth(self) -> Child:
        """Supabase's auth implementation in Node."""
        settings = {
            "AUTH_PORT": str(self.ports["auth"]),
            "DATABASE_URL": self.postgres.dsn(user="supabase_auth_admin"),
            "JWT_SECRET": self.keys.jwt_secret,
            "CONTROL_KEY": self.keys.control,
            "API_URL": f"http://127.0.0.1:{self.ports['gateway']}",
            "TOKEN_LIFETIME": str(_TOKEN_LIFETIME),
            "LITE_TELEMETRY": "0",
            "DO_NOT_TRACK": "1",
        }
        if self.faults:
            settings["FAULTS"] = "1"
        command = [self.npm.node, str(self.npm.script("auth.mjs"))]
        return self._child("auth", command, settings, (self.ports["auth"], "/health"))

    def realtime(self, profile: str) -> Child:
        """The realtime server."""
        # Every user of the machine can read a command line, so the password is not in it.
        url, password = self.postgres.dsn_without_password(user="supabase_admin")
        command = [
            *_module("customer_tickets.devstack.realtime"),
            *("--port", str(self.ports["realtime"])),
            *("--database-url", url),
            *("--jwt-secret-env", "REALTIME_JWT_SECRET"),
            *("--profile", profile),
            *(["--control-key-env", "REALTIME_CONTROL_KEY"] if self.faults else []),
        ]
        settings = {"REALTIME_JWT_SECRET": self.keys.jwt_secret, "PGPASSWORD": password}
        if self.faults:
            settings["REALTIME_CONTROL_KEY"] = self.keys.control
        return self._child("realtime", command, settings, (self.ports["realtime"], "/health"))

    def storage(self) -> Child:
        """The storage server."""
        url, password = self.postgres.dsn_without_password(user="supabase_admin")
        command = [
            *_module("customer_tickets.devstack.storage"),
            *("--port", str(self.ports["storage"])),
            *("--database-url", url),
            *("--jwt-secret-env", "STORAGE_JWT_SECRET"),
            *("--folder", str(self.folder / "storage")),
            *(["--durable"] if self.durable else []),
        ]
        settings = {"STORAGE_JWT_SECRET": self.keys.jwt_secret, "PGPASSWORD": password}
        return self._child("storage", command, settings, (self.ports["storage"], "/health"))

    def gateway(self) -> Child:
        """The one address."""
        realtime = ("/realtime/v1/", "realtime", self.ports["realtime"])
        routes: list[tuple[str | int, ...]] = [
            ("/rest/v1/", "REST", self.ports["rest"], "/"),
            ("/auth/v1/", "auth", self.ports["auth"], "/auth/v1/"),
            ("/storage/v1/", "storage", self.ports["storage"], "/"),
            ("/realtime/v1/api/", "realtime", self.ports["realtime"], "/api/"),
            (*realtime, "/socket/", "/realtime/v1/websocket"),
        ]
        if self.faults:
            routes += [
                ("/faults/realtime", "realtime", self.ports["realtime"], "/faults"),
                ("/faults/auth", "auth", self.ports["auth"], "/faults"),
            ]
        # Its port may be a wanted one, on which another program's server may answer just as well.
        name = uuid.uuid4().hex
        settings = {
            "keys": self.keys.to_dict(),
            "routes": routes,
            "port": self.ports["gateway"],
            "faults": self.faults,
            "name": name,
        }
        return self._child(
            "gateway",
            _module("customer_tickets.devstack.gateway"),
            {"GATEWAY_SETTINGS": json.dumps(settings)},
            (self.ports["gateway"], "/health"),
            calls_itself=name,
        )

    def _child(
        self,
        name: str,
        command: list[str],
        settings: Mapping[str, str],
        health: tuple[int, str],
        *,
        calls_itself: str = "",
    ) -> Child:
        return Child(
            name,
            command,
            log=self.folder / f"{name.lower()}.log",
            healthy=lambda: answers(*health, calls_itself),
            # Nothing else of the user's environment decides how a part behaves.
            environment={k: os.environ[k] for k in _KEPT if k in os.environ} | dict(settings),
            stop_signal=signal.SIGTERM,
        )


def _module(name: str) -> list[str]:
    return [sys.executable, "-P", str(Path(__file__).with_name("bare.py")), name]

import sys
from pathlib import Path

import pytest

# Modules beside this file (`fix_*`, `tcp_proxy`) are imported by name, however pytest was started.
sys.path.insert(0, str(Path(__file__).parent))

pytest_plugins = ("customer_tickets.devstack.fixtures", "fix_stack", "fix_remote")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"

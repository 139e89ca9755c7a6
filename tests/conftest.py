import signal
import sys
from pathlib import Path

import pytest

# Programs that tests start and interrupt would inherit this from a shell's background job.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Modules beside this file (`fix_*`, `tcp_proxy`) are imported by name, however pytest was started.
sys.path.insert(0, str(Path(__file__).parent))

pytest_plugins = ("customer_tickets.devstack.fixtures", "fix_stack", "fix_remote")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"

"""The bench of a million joins, in small: nobody gets in, nothing is lost, memory stays."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench" / "realtime_hostile.py"


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.timeout(180)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_many_hostile_joins_cross_nothing_and_cost_nothing() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCH), "--joins", "20000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # Each check of a join has refused some, or this would prove little.
    for reason in (
        *("Unauthorized", "MalformedJWT", "JwtSignatureError", "JwtSignerError"),
        *("InvalidJWTToken", "TopicNameRequired", "ChannelRateLimitReached", "joined"),
    ):
        assert f"  {reason}\n" in done.stdout, reason

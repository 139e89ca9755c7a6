"""The fixtures that the package ships, in a session of somebody else's tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.slow]

CONFTEST = 'pytest_plugins = ["customer_tickets.devstack.fixtures"]\n'
TESTS = """
import pytest
from customer_tickets import CustomerTickets, NotFound
from customer_tickets.devstack import Faults

seen = []


def test_that_needs_no_stack(request):
    assert "supabase_stack" not in request.fixturenames


@pytest.mark.parametrize("turn", [1, 2])
def test_users_and_organizations_are_new_each_time(
    supabase_stack, supabase_user, supabase_organization, turn
):
    ana, ben = supabase_user("Ana Alves"), supabase_user()
    acme = supabase_organization()
    eva = supabase_user("Eva", role="employee", organization=acme)
    seen.extend([ana.id, ben.id, eva.id])
    assert len(set(seen)) == 3 * turn
    assert "password" not in repr(ana)
    with CustomerTickets(supabase_stack.url, supabase_stack.publishable_key) as tickets:
        tickets.sign_in(ana.email, ana.password)
        assert tickets.user.id == ana.id
        made = tickets.create(organization=acme, subject="Help")
        for other, sees in ((eva, True), (ben, False)):
            tickets.sign_out()
            tickets.sign_in(other.email, other.password)
            try:
                tickets.thread(made)
            except NotFound:
                assert not sees
            else:
                assert sees


@pytest.mark.parametrize("role", ["employee", "admin"])
def test_staff_without_an_organization_is_refused_in_words(supabase_user, role):
    with pytest.raises(ValueError, match=f"an {role} belongs to an organization"):
        supabase_user("Eva", role=role)


def test_faults_are_asked_for(supabase_stack):
    supabase_stack.faults.answer_with(503, "/", times=1000)
    assert supabase_stack.faults.requests_left() == 1000


def test_faults_have_ended(supabase_stack):
    assert supabase_stack.faults.requests_left() == 0


def test_parts_are_killed_with_faults_waiting(supabase_stack):
    supabase_stack.faults.answer_with(503, "/", times=1000)
    supabase_stack.faults.spoil_rows("drop")
    supabase_stack.rest.kill()
    supabase_stack.gateway.kill()


def test_they_are_up_again_and_others_may_set_the_switches(supabase_stack):
    assert supabase_stack.rest.running
    faults = Faults(supabase_stack.url, supabase_stack.control_key)
    assert faults.requests_left() == 0
    faults.answer_with(503, "/", times=1000)


def test_they_too_have_ended(supabase_stack):
    assert supabase_stack.faults.requests_left() == 0
"""


def test_they_work_in_other_tests(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_mine.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-W", "error", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 passed" in done.stdout


def test_the_stack_itself_needs_no_pytest() -> None:
    lines = [
        "import sys, customer_tickets.devstack, customer_tickets.cli",
        "assert not [name for name in sys.modules if 'pytest' in name]",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)

"""Start a local Supabase, run quickstart.py against it, clean up: this is `make demo`."""

import os
import subprocess
import sys
from pathlib import Path

from customer_tickets.devstack import LocalStack, StackError


def main() -> int:
    try:
        with LocalStack.start(seed=True, progress=print) as stack:
            print(f"A whole Supabase is up at {stack.url}", flush=True)  # before the script's lines
            environment = {
                **os.environ,
                "SUPABASE_URL": stack.url,
                "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
            }
            script = Path(__file__).with_name("quickstart.py")
            return subprocess.run([sys.executable, str(script)], env=environment).returncode
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

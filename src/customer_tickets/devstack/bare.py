"""Run a module of the stack without the library around it.

``python -P bare.py <module> <arguments>`` is ``python -m <module> <arguments>``, except that the
package `customer_tickets` is not imported: a part of the stack does not need supabase, pydantic and
their half second and 60 MB in each process.
"""

import runpy
import sys
from pathlib import Path
from types import ModuleType

if __name__ == "__main__":
    here = Path(__file__).parent
    for name, folder in (("customer_tickets", here.parent), ("customer_tickets.devstack", here)):
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

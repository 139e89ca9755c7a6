"""`python -m customer_tickets` is `customer-tickets`."""

import sys

from .cli import main

sys.exit(main())

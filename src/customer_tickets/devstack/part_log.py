"""The log of a part that is written in Python: one format, and no request in it."""

import logging


def log_without_requests() -> None:
    """Set up the log of this process."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiohttp.server").addFilter(_without_request)


def _without_request(record: logging.LogRecord) -> bool:
    # aiohttp logs a bad request with the part that is bad, and that may hold a token.
    kind = record.exc_info[0] if record.exc_info else None
    if kind is not None:
        record.msg, record.args, record.exc_info = f"{record.msg}: {kind.__name__}", (), None
    return True

"""A filter that stamps every record made inside a job with that job's id."""

from __future__ import annotations

import logging

from ..core.values.current import current as current_call
from ..core.values.short import clean

__all__ = ["JobLogFilter"]


class JobLogFilter(logging.Filter):
    """Put it on a *handler*, and its format may use ``%(job_id)s``.

    Each record that passes gets ``job_id``, ``job`` (the class's qualified name) and
    ``attempt`` (from 1): those of the job in whose context the record is made, or ``"-"``,
    ``"-"`` and 0 outside of any. What a record has already is left as it is. No record is
    held back.

    A handler, because a logger's own filters do not see the records of the loggers below it::

        handler = logging.StreamHandler()
        handler.addFilter(counterpunch.JobLogFilter())
        handler.setFormatter(logging.Formatter("%(levelname)s %(job_id)s %(message)s"))

    A handler that passes records on to another thread (``QueueListener``) needs the filter
    on the ``QueueHandler``, where the job still is.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Stamp the record, on the thread that made it; always True."""
        call = current_call.get()
        known = vars(record)
        known.setdefault("job_id", "-" if call is None else call.id)
        known.setdefault("job", "-" if call is None else clean(call.job.__qualname__))
        known.setdefault("attempt", 0 if call is None else call.attempt)
        return True

"""The same job classes on an engine of many machines, for when one process is not enough.

``celery``, ``rq`` and ``dramatiq`` hold one class each. An engine is imported only with the
module named after it::

    from counterpunch.backends.celery import CeleryBackend

    counterpunch.configure(backend=CeleryBackend(app))   # all classes, or

    class HeavyJob(Job):
        backend = CeleryBackend(app)                     # this one; the others stay in threads

What is common to them: ``_engine``, made of ``_submission`` and ``_rules`` (the caller's side),
``_remote`` and ``_watch`` (the handle) and ``_delivery`` and ``_attempt`` (the worker's side);
``_message``, ``_record`` and ``_encoding`` (what goes over the wire), ``_bounded`` (no call waits
for a broker without limit).
"""

"""Glue between counterpunch and the frameworks its users have: one module for each.

``asgi``, ``flask``, ``django`` and ``sqlalchemy`` are imported by whoever needs them. A
framework is imported only in the module named after it, and the core imports none of them.
"""

"""Who buys."""

from django.db import models


class Buyer(models.Model):  # type: ignore[misc,unused-ignore]
    name = models.CharField(max_length=40, unique=True)

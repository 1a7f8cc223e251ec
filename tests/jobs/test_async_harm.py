"""What an async job does to its event loop: it harms itself, and nobody else."""

from __future__ import annotations

import pytest
from loop_harms import HARMS, Harm, check


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_job_harms_itself_only(harm: Harm) -> None:
    """Those beside it, behind it and after it, and the stop, see nothing of it."""
    check(harm)

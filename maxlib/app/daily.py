"""The daily report as a job: the notebook, run by papermill, kept in the folder of the day."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from maxlib.app.runner import (
    DAILY,
    RESULT,
    Job,
    Outcome,
    check_parameters,
    declared_parameters,
    run_job,
)
from maxlib.research.paper_days import read_days

PLACE: Final = "report"
"""In the folder of the newest day: report.html, notebook.ipynb, result.json."""


def write(folders: Sequence[Path]) -> Outcome:
    """Write the report of the newest of these days; an older one is replaced when this one is complete.

    Parameters
    ----------
    folders : of a paper trader, one a date, all of one scenario

    Raises
    ------
    MaxTraderError
        If the days cannot be used. Then no kernel was started and nothing written.
    """
    place = read_days(folders)[-1].folder.absolute()
    parameters: dict[str, Any] = {
        "folders": [str(folder.absolute()) for folder in folders],
        "result_path": str(place / PLACE / RESULT),
    }
    check_parameters(parameters, declared_parameters(DAILY), DAILY.name)
    environment = {key: os.environ[key] for key in os.environ if key.startswith("MAXTRADER_")}
    draft = place / f".{PLACE}.{uuid.uuid4().hex[:8]}"
    return run_job(Job(PLACE, parameters, DAILY, place, draft, Path.cwd(), environment))

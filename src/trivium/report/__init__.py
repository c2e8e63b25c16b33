"""What a run showed, as one HTML page that needs nothing but a browser."""

from __future__ import annotations

from trivium.report.finding import Finding, judge
from trivium.report.page import write_report

__all__ = ["Finding", "judge", "write_report"]

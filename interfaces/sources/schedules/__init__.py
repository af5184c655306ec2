"""Schedules as fleets keep them: CSV, Excel workbooks, iCalendar. Each file reads one format and decides nothing."""

"""The report of a sweep: tables, figures, one page."""

"""The report of one run, and the parts that all pages and pictures share."""

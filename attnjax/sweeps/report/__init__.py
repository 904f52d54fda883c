"""What a sweep found: tables, figures, one page."""

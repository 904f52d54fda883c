"""What one run found, on one page; and what every page and picture is made of."""

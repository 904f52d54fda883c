"""Images that are drawn, and their labels."""

"""Looking inside: what a mask leaves to compute."""

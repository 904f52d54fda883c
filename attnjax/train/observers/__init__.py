"""What looks on while a run trains: the progress bar, services that show runs."""

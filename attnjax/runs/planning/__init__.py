"""What a training takes of devices, found before anything runs and without these devices."""

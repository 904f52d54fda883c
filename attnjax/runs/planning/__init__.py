"""Plans of trainings on devices that need not be there, made before anything runs."""

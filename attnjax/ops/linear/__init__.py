"""The linear and recurrent family: one recurrence, in forms that equal each other."""

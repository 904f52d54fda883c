"""The members of the linear and recurrent family: small functions on top of the recurrence, a file for each.

`attnjax.mechanisms.linear` declares what a layer has to project for each.
"""

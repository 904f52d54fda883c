"""The members of the linear and recurrent family: small functions on top of the recurrence.

`catalogue.MEMBERS` names them, and says as data what a layer has to project for each.
"""

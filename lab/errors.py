"""The error of this room. Its message is one paragraph a person can act on."""


class LabError(Exception):
    """Something the user can put right: the message says what, where and how."""

"""The errors of this room. Each carries one paragraph a person can act on."""


class MeasureError(Exception):
    """Something the user can put right: the message says what, where and how."""


class RunExistsError(MeasureError):
    """The folder asked for a new run already holds something."""


class DamagedRunError(MeasureError):
    """A run folder whose files cannot be read as a run."""

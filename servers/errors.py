"""The error of this room. Its message is one paragraph a person can act on."""


class ServerError(Exception):
    """Something the user can put right: the message says what, where and how."""


class PortTakenError(ServerError):
    """Another program took an instance's port between its choice and the engine's start."""


class UnsettledError(ServerError):
    """A change of settings failed halfway: how the instance is set is not known."""

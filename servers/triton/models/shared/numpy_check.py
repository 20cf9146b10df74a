"""The one thing about numpy that every Python model of this Triton must make sure of."""


def require_numpy_1(version):
    """Raise `RuntimeError` for numpy 2 or newer.

    The Python backend was built against numpy 1 and reads newer arrays wrongly *without an
    error*: wrong answers would look like a bad model.
    """
    if int(version.split(".")[0]) >= 2:
        raise RuntimeError(
            f"numpy {version} gives silently wrong tensors in this Python backend; "
            "install numpy < 2 into the environment Triton's models run in"
        )

"""What goes wrong with a notebook, in words for the person who runs it."""


class NotebookError(Exception):
    """A notebook that does not run to its end, or one that cannot be run. Its text is complete."""

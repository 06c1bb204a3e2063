"""The one exception of this package that is meant for the user."""


class UserError(Exception):
    """A mistake the user can mend. Its message names what, where and what to do; it is shown without a traceback."""

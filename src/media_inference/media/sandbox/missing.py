"""What a guard says that can't be had."""


class Missing(Exception):
    """This machine does not have the guard; the message says why, in a few words."""

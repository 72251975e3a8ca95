"""How a broken build is made: something of the product is put away for something worse."""


def replace(owner: object, name: str, value: object) -> None:
    """Puts ``value`` where the product has something of that name."""
    assert hasattr(owner, name), name
    setattr(owner, name, value)

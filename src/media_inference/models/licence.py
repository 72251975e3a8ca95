"""Under which licences weights come, and what those do not allow."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Licence:
    """That of a file with a certain hash; other files of the same repository may be under another.

    ``forbids`` ends the sentence "it forbids ...", for one that does not allow commercial use. A model under it is
    neither downloaded nor loaded unless the user accepted that by name.
    """

    name: str
    commercial_use: bool = True
    forbids: str = ""


MIT = Licence("MIT")
APACHE_2_0 = Licence("Apache-2.0")
INSIGHTFACE = Licence("insightface-research", commercial_use=False, forbids="any use but non-commercial research")
"""Of the weights that InsightFace publishes, whatever the licence of its code."""

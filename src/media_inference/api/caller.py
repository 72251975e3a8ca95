"""Who sends a request, and what they may do."""

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request."""

    subject: str
    permissions: frozenset[str] = frozenset()
    is_admin: bool = False
    expires_at: float = field(default=math.inf, compare=False)
    """Seconds since 1970 UTC."""

    def may(self, permission: str) -> bool:
        """Whether the caller has a permission."""
        return permission in self.permissions

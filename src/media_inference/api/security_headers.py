"""What browsers are told about every answer: it is data, for this origin alone, and is not kept."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# An answer that sets one of these itself knows better: the page at /docs has a policy that lets its own script run,
# and a crop may be kept for a while.
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_BY_NAME = {name.lower().encode(): (name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()}


class SecurityHeaders:
    """Adds what is missing of `SECURITY_HEADERS` to every answer; the outermost layer, so errors have them too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the application."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                own = {name for name, _ in headers}
                headers += [header for name, header in _BY_NAME.items() if name not in own]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_with_headers)

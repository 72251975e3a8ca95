"""A FastAPI route that does nothing, served as the service is."""

import sys

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

app = FastAPI(docs_url=None, redoc_url=None)


@app.post("/nothing", status_code=201)
async def do_nothing() -> dict[str, str]:
    """Not even the body is read."""
    return {"status": "pending"}


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        http=HttpToolsProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
    )

"""The addresses of files and batches."""

from starlette.routing import Route

from tierstream.serve.batches.batch_api import BatchApi
from tierstream.serve.batches.file_api import FileApi
from tierstream.serve.batches.store import BatchStore
from tierstream.serve.call import Endpoint, Handler
from tierstream.serve.door import Door
from tierstream.serve.surface import Surface


def batch_routes(door: Door, store: BatchStore, speech: Surface) -> list[Route]:
    """List the addresses.

    Args:
        door: Whose.
        store: Has files and batches.
        speech: Whose words errors have.
    """
    files, batches = FileApi(store), BatchApi(store)

    def route(path: str, **handlers: Handler) -> list[Route]:
        return [Route(path, Endpoint(door, speech, handle), methods=[method]) for method, handle in handlers.items()]

    return [
        *route("/v1/files", POST=files.create, GET=files.index),
        *route("/v1/files/{file_id}", GET=files.show, DELETE=files.delete),
        *route("/v1/files/{file_id}/content", GET=files.content),
        *route("/v1/batches", POST=batches.create, GET=batches.index),
        *route("/v1/batches/{batch_id}", GET=batches.show),
        *route("/v1/batches/{batch_id}/cancel", POST=batches.cancel),
    ]

"""The entry point of a VM's image: `vm run --entrypoint`."""

from __future__ import annotations

from banger.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.api.documents import VmView
    from banger.client import Client


def plan_command(client: Client, view: VmView, words: list[str]) -> list[str]:
    """Return the image's entry point followed by `words`, or by the image's command if empty.

    Raises:
        InvalidRequest: the image has neither an entry point nor a command.
        ImageNotFound: the image has been deleted since.
    """
    image = client.call("image.show", {"ref": view["image_digest"]})
    command = [*image["entrypoint"], *(words or image["cmd"])]
    if not command:
        raise InvalidRequest(
            f"The image {view['image']} has neither an entry point nor a command.",
            hint=f"banger vm run --image {view['image']} -- COMMAND",
        )
    return command

"""A server that other processes can reach: what work beyond this process needs."""

from landslide.errors import InputError


def check_server(for_what: str) -> None:
    """InputError where there is only the temporary server of a single command."""
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        raise InputError(
            f"{for_what} needs a Prefect server that it can reach. Start one (`prefect server start`), set "
            "PREFECT_API_URL to its address here and there, and run the same again"
        )

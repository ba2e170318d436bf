"""Exceptions as the real client raises them, with its own retries off."""

import json
from collections.abc import Mapping

import ee
import httplib2
from googleapiclient.errors import HttpError


def refusal(
    status: int, message: str, headers: Mapping[str, str] | None = None, reason: str = "", address: str = "x"
) -> ee.EEException:
    """What `ee.data.computePixels` raises for a reply of the service."""
    error = {"code": status, "message": message, "errors": [{"message": message, "reason": reason}]}
    response = httplib2.Response({**(headers or {}), "status": str(status)})
    try:
        try:
            raise HttpError(response, json.dumps({"error": error}).encode(), uri=address)
        except HttpError as error_:
            raise ee.data._translate_cloud_exception(error_)  # noqa: B904, as the client does it
    except ee.EEException as found:
        return found


def html(status: int, page: bytes) -> ee.EEException:
    """The same for a reply that is a page of HTML."""
    try:
        raise HttpError(httplib2.Response({"status": str(status)}), page, uri="x")
    except HttpError as error:
        found: ee.EEException = ee.data._translate_cloud_exception(error)
        found.__context__ = error
        return found

"""What /openapi.json says of the addresses that take images; FastAPI cannot know it, as it does not read the bodies."""

from typing import Any

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_NAME = {"type": "string", "description": "of the image, when it is the whole body"}
_ERROR = {
    "description": "The request is refused, for the reason in the sentence",
    "content": {
        "application/json": {
            "schema": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
        }
    },
}


def describe_images(*others: dict[str, Any]) -> dict[str, Any]:
    """Describe an address that takes images, in the words of OpenAPI.

    Args:
        others: its parameters besides ``name``.
    """
    form = {"schema": {"type": "object", "additionalProperties": _BINARY["schema"]}}
    content = {"image/*": _BINARY, "application/octet-stream": _BINARY, "multipart/form-data": form}
    return {
        "parameters": [describe_parameter("name", _NAME), *others],
        "requestBody": {"required": True, "content": content},
        "responses": {"4XX": _ERROR, "5XX": _ERROR},
    }


def describe_parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Describe a parameter of the address."""
    return {"name": name, "in": "query", "required": False, "schema": schema}

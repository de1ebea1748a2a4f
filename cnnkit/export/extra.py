"""The packages of the extra ``cnnkit[export]``, imported where they are needed."""

from importlib import import_module
from typing import Any

from cnnkit.errors import UserError


def need(name: str) -> Any:
    """Import a package of the extra.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("onnx", "onnxscript", "onnxruntime", "onnx_ir", "ml_dtypes"):
            raise
        raise UserError(f"ONNX files need {error.name}, which is not installed: pip install 'cnnkit[export]'") from None

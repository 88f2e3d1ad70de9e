"""Rows as the inputs of a network, computed here. It is the service's own code, so that the numbers are, to the bit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidRequest
from app.tables.fitted import FittedPreprocessing
from descent.errors import NotPrepared
from descent.wording import predict_body


@dataclass(frozen=True)
class Preparation:
    """What a model does with rows before its network sees them. It needs no service, and may be pickled.

    Args:
        preprocessing: As the model tells it.
        dtype: Of the network.
    """

    preprocessing: Mapping[str, Any]
    dtype: str

    def __call__(self, rows: Any) -> NDArray[np.floating]:
        """Give the inputs `(rows, inputs)` of rows, which are given as to `predict`.

        Raises:
            NotPrepared: They do not fit the model; every fault is listed.
        """
        fitted = FittedPreprocessing.from_json(self.preprocessing)
        word, listed = predict_body(rows)
        try:
            if word == "rows":
                return fitted.encode_rows(listed, self.dtype)
            return fitted.encode_inputs(listed, self.dtype)
        except InvalidRequest as error:
            faults = [f"  {fault.pointer}: {fault.message}" for fault in error.faults]
            raise NotPrepared("\n".join([error.detail, *faults])) from None

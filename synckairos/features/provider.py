"""The provider by which OpenFeature's SDK gets its answers from our file.

The targeting key of an evaluation is the session's id, and its attribute `tenant` the session's tenant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError, TargetingKeyMissingError, TypeMismatchError
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType
from openfeature.provider import AbstractProvider, Metadata

from synckairos.features.rules import Feature, decide

NAME = "synckairos"


class FileProvider(AbstractProvider):
    """Features are on or off: every other type is an error of whoever asks.

    features: gives what the file says now
    """

    def __init__(self, features: Callable[[], Mapping[str, Feature]]) -> None:
        super().__init__()
        self._features = features

    def get_metadata(self) -> Metadata:
        return Metadata(NAME)

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        feature = self._features().get(flag_key)
        if feature is None:
            raise FlagNotFoundError(f"the file has no feature {flag_key}")
        if evaluation_context is None or evaluation_context.targeting_key is None:
            raise TargetingKeyMissingError("the targeting key is the session's id")
        tenant = evaluation_context.attributes.get("tenant")
        decision = decide(
            flag_key, feature, evaluation_context.targeting_key, tenant if isinstance(tenant, str) else None
        )
        return FlagResolutionDetails(
            value=decision.on,
            reason=decision.reason,
            variant="on" if decision.on else "off",
            flag_metadata={"why": decision.why},
        )

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        _refuse(flag_key)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        _refuse(flag_key)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        _refuse(flag_key)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        _refuse(flag_key)


def _refuse(name: str) -> NoReturn:
    raise TypeMismatchError(f"the feature {name} is on or off, and has no other value")

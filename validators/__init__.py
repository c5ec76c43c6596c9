"""Validators: the class that a subnet's author fills in, and the service that runs it."""

from subnet.validators.base import Querier, Validator
from subnet.validators.service import ValidatorService

__all__ = ["Querier", "Validator", "ValidatorService"]

"""Validators: the class that a subnet's author fills in, and the service that runs it."""

from subnet.validators.base import Keeper, Querier, Validator
from subnet.validators.service import ValidatorService
from subnet.validators.truths import Question

__all__ = ["Keeper", "Querier", "Question", "Validator", "ValidatorService"]

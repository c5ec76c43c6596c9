"""Validators: the class that a subnet's author fills in, and the service that runs it."""

from subnet.validators.base import Validator
from subnet.validators.querier import Keeper, Querier
from subnet.validators.service import ValidatorService
from subnet.validators.truths import Question

__all__ = ["Keeper", "Querier", "Question", "Validator", "ValidatorService"]

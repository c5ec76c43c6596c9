"""Declarations: what may be declared, and what a message refuses to hold."""

from __future__ import annotations

from typing import Annotated

import ml_dtypes
import numpy as np
import pytest

from subnet.errors import BadTensor, DeclarationError, WrongType
from subnet.synapse import Message, Spec, Synapse, Tensor, check_reply, declaration, tensor_fields


class Labels(Message):
    digits: Annotated[Tensor, Spec("int64", ("n",))]
    note: str = ""


class Classify(Synapse[Labels], timeout=5.0, max_request=1000):
    images: Annotated[Tensor, Spec("uint8", ("n", 8, 8))]
    mask: Annotated[Tensor, Spec("bool", ("n",))] | None = None


def images(n: int = 3) -> Tensor:
    return np.zeros((n, 8, 8), np.uint8)


def test_a_class_statement_says_it_all() -> None:
    declared = declaration(Classify)
    assert (declared.name, declared.response) == ("Classify", Labels)
    assert (declared.timeout, declared.max_request, declared.max_reply) == (5.0, 1000, 16 << 20)
    assert declaration(Classify(images=images())) is declared


def test_a_subclass_inherits_what_it_does_not_say() -> None:
    class Quick(Classify, timeout=0.5):
        pass

    declared = declaration(Quick)
    assert (declared.name, declared.response, declared.timeout, declared.max_request) == ("Quick", Labels, 0.5, 1000)


def test_a_path_of_its_own() -> None:
    class Say(Synapse[Labels], path="v1/say"):
        text: str

    assert declaration(Say).name == "v1/say"


@pytest.mark.parametrize("path", ["", "a b", "a?b", "ä", "x\n", "/x", "x/", "../x"])
def test_a_path_that_would_break_urls_is_refused(path: str) -> None:
    with pytest.raises(DeclarationError, match="path"):

        class Bad(Synapse[Labels], path=path):
            pass


def test_keywords_belong_on_a_synapse() -> None:
    with pytest.raises(DeclarationError, match="timeout"):

        class NoSynapse(Message, timeout=1.0):
            x: int


@pytest.mark.parametrize("bad", [{"timeout": 0.0}, {"timeout": float("inf")}, {"max_reply": 0}])
def test_limits_must_bound(bad: dict[str, float]) -> None:
    with pytest.raises(DeclarationError, match="above zero"):
        type("Bad", (Classify,), {}, **bad)


def test_a_message_is_no_synapse() -> None:
    with pytest.raises(DeclarationError, match="no synapse"):
        declaration(Labels)  # type: ignore[arg-type]


def test_the_reply_must_be_a_message() -> None:
    with pytest.raises(DeclarationError, match="must be a Message"):

        class Bad(Synapse[int]):  # type: ignore[type-var]
            x: int


@pytest.mark.parametrize("spec", [("object", None), ("float128", None), ("int64", (-1,)), ("int64", (1.5,))])
def test_specs_that_cannot_be(spec: tuple[str, tuple[int, ...] | None]) -> None:
    with pytest.raises(DeclarationError):
        Spec(*spec)


def test_a_spec_inside_a_list_is_refused_where_it_is_declared() -> None:
    class Many(Message):
        parts: list[Annotated[Tensor, Spec("int64", ("n",))]]

    with pytest.raises(DeclarationError, match="Message of its own"):
        tensor_fields(Many)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((3, 8, 8)),
        np.zeros((3, 8), np.uint8),
        np.zeros((3, 8, 9), np.uint8),
        np.zeros((3, 8, 8), np.int8),
        [[1]],
        None,
        "images",
    ],
)
def test_a_tensor_that_does_not_fit_never_becomes_a_message(bad: object) -> None:
    if bad is None:
        with pytest.raises(TypeError):
            Classify()  # type: ignore[call-arg]
        return
    with pytest.raises(BadTensor, match="images"):
        Classify(images=bad)  # type: ignore[arg-type]


def test_named_dimensions_agree_within_a_message() -> None:
    assert Classify(images=images(3), mask=np.ones(3, bool)).mask is not None
    with pytest.raises(BadTensor, match="mask"):
        Classify(images=images(3), mask=np.ones(2, bool))


@pytest.mark.parametrize(
    ("digits", "fits"),
    [(np.zeros(3, np.int64), True), (np.zeros(2, np.int64), False), (np.zeros(0, np.int64), False)],
)
def test_named_dimensions_agree_between_request_and_reply(digits: Tensor, fits: bool) -> None:
    request, reply = Classify(images=images(3)), Labels(digits=digits)
    if fits:
        check_reply(request, reply)
    else:
        with pytest.raises(BadTensor, match="'n' = 3"):
            check_reply(request, reply)


def test_an_optional_tensor_that_is_missing_says_nothing_of_its_dimensions() -> None:
    class Maybe(Message):
        mask: Annotated[Tensor, Spec("bool", ("n",))] | None = None
        extra: Annotated[Tensor, Spec("bool", ("m", "n"))] | None = None

    class Ask(Synapse[Maybe]):
        images: Annotated[Tensor, Spec("uint8", ("n", 8, 8))]

    request = Ask(images=images(3))
    check_reply(request, Maybe())
    check_reply(request, Maybe(extra=np.ones((5, 3), bool)))
    with pytest.raises(BadTensor, match="'n' = 3"):
        check_reply(request, Maybe(extra=np.ones((3, 5), bool)))


def test_a_reply_of_another_class_is_none() -> None:
    with pytest.raises(WrongType, match="wants a Labels"):
        check_reply(Classify(images=images()), Classify(images=images()))


def test_numpy_scalars_and_foreign_byte_order_are_taken_as_they_mean() -> None:
    class Any1(Message):
        x: Tensor

    assert Any1(x=np.float32(1.5)).x.shape == ()  # type: ignore[arg-type]
    swapped = Any1(x=np.arange(3, dtype=">i4")).x
    assert swapped.dtype.isnative
    assert swapped.tolist() == [0, 1, 2]
    assert Any1(x=np.ones(2, ml_dtypes.bfloat16)).x.dtype == ml_dtypes.bfloat16
    with pytest.raises(BadTensor, match="can't travel"):
        Any1(x=np.array([object()]))


def test_messages_are_frozen_and_compare_by_value() -> None:
    one, same = Labels(digits=np.arange(3)), Labels(digits=np.arange(3))
    assert one == same
    assert one != Labels(digits=np.arange(4))
    with pytest.raises(AttributeError):
        one.note = "x"  # type: ignore[misc]

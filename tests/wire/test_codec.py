"""The codec: what goes in comes out, and no bytes do worse than a typed error."""

from __future__ import annotations

import resource
import sys
from types import SimpleNamespace
from typing import Annotated, Any

import ml_dtypes
import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from subnet.codec import EXT_TENSOR, decode, encode
from subnet.errors import BadTensor, Malformed, TooDeep, WireError, WrongType
from subnet.synapse import DTYPES, Message, Spec, Tensor, dtype_of

NUMPY_DTYPES = sorted(DTYPES - {"bfloat16"})


class Bag(Message):
    tensor: Tensor
    name: str = ""
    numbers: list[float] = []
    parts: list[Tensor] = []
    other: dict[str, Any] = {}


class Pixels(Message):
    values: Annotated[Tensor, Spec("float32", (None,))]


arrays = st.sampled_from(NUMPY_DTYPES).flatmap(
    lambda name: hnp.arrays(np.dtype(name), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)


def tensor_ext(dtype: bytes, shape: list[int], raw: bytes, *, ndim: int | None = None) -> bytes:
    head = bytes([len(dtype)]) + dtype + bytes([len(shape) if ndim is None else ndim])
    return head + b"".join(n.to_bytes(8, "little") for n in shape) + raw


def pixels(payload: bytes, code: int = EXT_TENSOR) -> bytes:
    packed: bytes = msgpack.packb({"values": msgpack.ExtType(code, payload)})
    return packed


@given(arrays, st.booleans(), st.text(), st.lists(st.floats(allow_nan=False)))
def test_round_trip(array: Tensor, as_json: bool, name: str, numbers: list[float]) -> None:
    if as_json:
        numbers = [n for n in numbers if np.isfinite(n)]
    bag = Bag(tensor=array, name=name, numbers=numbers, parts=[array], other={"a": [1, None]})
    back = decode(Bag, encode(bag, json=as_json), json=as_json)
    assert back.tensor.dtype == array.dtype
    assert back.tensor.shape == array.shape
    assert back.tensor.tobytes() == array.tobytes()
    assert back.parts[0].tobytes() == array.tobytes()
    assert (back.name, back.numbers, back.other) == (name, numbers, {"a": [1, None]})


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12).reshape(3, 4).T,
        np.arange(20)[::-3],
        np.broadcast_to(np.float32(2), (3, 3)),
        np.arange(6, dtype=">f8").reshape(2, 3),
        np.array(7, np.uint8),
        np.zeros((0, 5), np.int16),
        np.array([True, False]),
        np.array([1.5, -2.0, 3e38], ml_dtypes.bfloat16),
    ],
    ids=["transposed", "reversed", "broadcast", "big-endian", "0-d", "empty", "bool", "bfloat16"],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_every_layout_arrives_native_and_contiguous(array: Tensor, as_json: bool) -> None:
    back = decode(Bag, encode(Bag(tensor=array), json=as_json), json=as_json).tensor
    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.flags.c_contiguous
    assert back.shape == array.shape
    assert (back == array).all()


@st.composite
def laid_out(draw: st.DrawFn) -> Tensor:
    """An array in memory as numpy may have it: transposed, strided, reversed, repeated, big-endian."""
    array = draw(arrays)
    for _ in range(draw(st.integers(0, 3))):
        match draw(st.integers(0, 4)):
            case 0:
                array = array.T
            case 1 if array.ndim:
                array = array[:: draw(st.sampled_from([1, 2, 3, -1, -2]))]
            case 2:
                array = np.asfortranarray(array)
            case 3:
                array = np.broadcast_to(array, (draw(st.integers(0, 3)), *array.shape))
            case 4 if array.dtype.kind in "iufc" and array.dtype.itemsize > 1 and array.dtype.name != "bfloat16":
                array = array.astype(array.dtype.newbyteorder())
    return array


@given(laid_out(), st.booleans())
def test_any_layout_arrives_as_the_same_values(array: Tensor, as_json: bool) -> None:
    back = decode(Bag, encode(Bag(tensor=array), json=as_json), json=as_json).tensor
    assert (back.shape, back.dtype) == (array.shape, array.dtype.newbyteorder("="))
    assert back.flags.c_contiguous
    assert back.tobytes() == array.astype(back.dtype).tobytes()


def test_torch_tensors_are_taken_where_there_is_torch() -> None:
    torch = pytest.importorskip("torch")
    for tensor, wanted in [
        (torch.arange(6.0).reshape(2, 3).T, np.arange(6, dtype=np.float32).reshape(2, 3).T),
        (torch.ones(2, requires_grad=True), np.ones(2, np.float32)),
        (torch.tensor([1.5, 2.0], dtype=torch.bfloat16), np.array([1.5, 2.0], ml_dtypes.bfloat16)),
        (torch.tensor(1.5, dtype=torch.bfloat16), np.array(1.5, ml_dtypes.bfloat16)),
        (torch.tensor([1 + 2j]).conj(), np.array([1 - 2j], np.complex64)),
        (torch.tensor([True]), np.array([True])),
        (torch.zeros(0, 5), np.zeros((0, 5), np.float32)),
    ]:
        back = decode(Bag, encode(Bag(tensor=tensor))).tensor
        assert (back.dtype, back.shape) == (wanted.dtype, wanted.shape)
        assert (back == wanted).all()
    for tensor in (torch.ones(2, 2).to_sparse(), torch.ones(2, device="meta"), torch.ones(2).to(torch.float8_e4m3fn)):
        with pytest.raises(BadTensor, match="torch tensor"):
            Bag(tensor=tensor)


def test_torch_is_asked_only_where_somebody_else_has_imported_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with the few methods that are called; the real one is tested where it is installed."""

    class Stand:
        dtype = None

        def __init__(self, values: Tensor) -> None:
            self.values = values

        def detach(self) -> Stand:
            return self

        cpu = resolve_conj = resolve_neg = detach

        def numpy(self) -> Tensor:
            return self.values

    with pytest.raises(BadTensor, match="Stand is no tensor"):
        Bag(tensor=Stand(np.arange(3)))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(Tensor=Stand, bfloat16=object()))
    assert decode(Bag, encode(Bag(tensor=Stand(np.arange(3))))).tensor.tolist() == [0, 1, 2]  # type: ignore[arg-type]


def test_a_decoded_tensor_is_a_read_only_view_of_the_body() -> None:
    body = encode(Pixels(values=np.arange(1000, dtype=np.float32)))
    back = decode(Pixels, body).values
    assert np.shares_memory(back, np.frombuffer(body, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        back[0] = 1


def test_a_body_is_readable_by_any_msgpack_library() -> None:
    data = msgpack.unpackb(encode(Pixels(values=np.array([1, 2], np.float32))))
    assert data == {
        "values": msgpack.ExtType(EXT_TENSOR, tensor_ext(b"float32", [2], np.array([1, 2], "<f4").tobytes()))
    }


def test_an_older_peer_may_send_more_or_fewer_fields() -> None:
    body = msgpack.packb(
        {"tensor": msgpack.ExtType(EXT_TENSOR, tensor_ext(b"uint8", [1], b"\x07")), "new": [1, {"x": 2}]}
    )
    assert decode(Bag, body).name == ""


FLOAT = np.float32(1).tobytes()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", Malformed),
        (b"\xc1", Malformed),
        (encode(Pixels(values=np.zeros(9, np.float32)))[:-1], Malformed),
        (encode(Pixels(values=np.zeros(9, np.float32))) + b"\x00", Malformed),
        (b"\x81\xd9\xff", Malformed),
        (msgpack.packb({"values": "\ud800".encode("utf-8", "surrogatepass")}), WrongType),
        (b"\xdd\xff\xff\xff\xff", WrongType),
        (b"\x81\xa6values\xdd\xff\xff\xff\xff", Malformed),
        (b"\x81\xa6values\xc9\xff\xff\xff\xff\x01", Malformed),
        (b"\x81\xa1x" + b"\x91" * 100_000, TooDeep),
        (msgpack.packb([1]), WrongType),
        (msgpack.packb({}), WrongType),
        (msgpack.packb({"values": 3}), WrongType),
        (pixels(b"", 5), WrongType),
        (pixels(b""), BadTensor),
        (pixels(b"\x07float3"), BadTensor),
        (pixels(tensor_ext(b"float32", [1], FLOAT)[:12]), BadTensor),
        (pixels(tensor_ext(b"float32", [2], FLOAT)), BadTensor),
        (pixels(tensor_ext(b"float32", [1], FLOAT + b"\0")), BadTensor),
        (pixels(tensor_ext(b"float64", [1], FLOAT * 2)), BadTensor),
        (pixels(tensor_ext(b"float32", [1, 1], FLOAT)), BadTensor),
        (pixels(tensor_ext(b"object", [1], FLOAT * 2)), BadTensor),
        (pixels(tensor_ext(b"O", [1], FLOAT * 2)), BadTensor),
        (pixels(tensor_ext(b"\xff\xfe", [1], FLOAT)), BadTensor),
        (pixels(tensor_ext(b"float32", [0, 2**62], b"")), BadTensor),
        (pixels(tensor_ext(b"float32", [2**63, 2], b"")), BadTensor),
        (pixels(tensor_ext(b"float32", [2**64 - 1], b"")), BadTensor),
        (pixels(tensor_ext(b"float32", [0] * 40, b"")), BadTensor),
        (pixels(tensor_ext(b"float32", [], b"", ndim=255)), BadTensor),
    ],
)
def test_bad_bytes_end_as_one_typed_error(body: bytes, error: type[WireError]) -> None:
    with pytest.raises(error):
        decode(Pixels, body)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", Malformed),
        (b'{"values": ', Malformed),
        (b'{"values": {"dtype": "float32", "shape": [NaN], "base64": ""}}', Malformed),
        (b'{"values": 3}', BadTensor),
        (b'{"values": {"dtype": "float32", "shape": [1e3], "base64": ""}}', BadTensor),
        (b'{"values": {"dtype": "float32", "shape": [-1], "base64": ""}}', BadTensor),
        (b'{"values": {"dtype": "float32", "shape": [true], "base64": "AACAPw=="}}', BadTensor),
        (b'{"values": {"dtype": "float32", "shape": [1], "base64": "AACA!Pw=="}}', BadTensor),
        (b'{"values": {"dtype": "object", "shape": [0], "base64": ""}}', BadTensor),
        (b'{"values": {"dtype": ["float32"], "shape": [0], "base64": ""}}', BadTensor),
        (b'{"x": ' + b"[" * 100_000, TooDeep),
        (b"\xff\xfe", Malformed),
    ],
)
def test_bad_json_ends_as_one_typed_error(body: bytes, error: type[WireError]) -> None:
    with pytest.raises(error):
        decode(Pixels, body, json=True)


def test_a_bool_tensor_holds_bools() -> None:
    body = msgpack.packb({"tensor": msgpack.ExtType(EXT_TENSOR, tensor_ext(b"bool", [2], b"\x01\x02"))})
    with pytest.raises(BadTensor, match="bool"):
        decode(Bag, body)


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=500)
def test_random_bytes_do_no_harm(data: bytes, as_json: bool) -> None:
    try:
        decode(Bag, data, json=as_json)
    except WireError:
        pass


@given(st.data())
@settings(max_examples=300)
def test_a_flipped_byte_does_no_harm(data: st.DataObject) -> None:
    body = bytearray(encode(Bag(tensor=np.arange(6.0).reshape(2, 3), name="abc", parts=[np.zeros(2, bool)])))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(Bag, body)
    except WireError:
        pass


def test_lengths_that_lie_cost_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for body in (
        b"\x82\xa6tensor\xc0\xa7numbers\xdd\xff\xff\xff\xff",
        b"\x81\xa5other" + b"\x81\xa1a\xdd\xff\xff\xff\xff" * 50,
    ):
        with pytest.raises(WireError):
            decode(Bag, body)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


@pytest.mark.parametrize("value", [object(), {1, 2}.__iter__(), lambda: 0])
def test_what_cannot_travel_says_so(value: object) -> None:
    with pytest.raises(WrongType, match="can't travel"):
        encode(Bag(tensor=np.zeros(1), other={"x": value}))


def test_text_and_arrays_that_no_peer_could_read_are_refused_here() -> None:
    with pytest.raises(WrongType):
        encode(Bag(tensor=np.zeros(1), name="\ud800"))
    with pytest.raises(BadTensor, match="dimensions"):
        encode(Bag(tensor=np.zeros((1,) * 40)))


def test_object_arrays_never_travel() -> None:
    with pytest.raises((BadTensor, WrongType)):
        encode(Bag(tensor=np.zeros(1), parts=[np.array([object()])]))


def test_every_declared_dtype_exists() -> None:
    assert all(dtype_of(name).name == name for name in DTYPES)

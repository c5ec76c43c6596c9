"""TLS between neurons: the certificate that a miner published is the only one that is taken."""

from __future__ import annotations

from pathlib import Path

import pytest
from substrateinterface import Keypair

from subnet.axon import Axon
from subnet.dendrite import Dendrite, Failure, Ok, Reason
from subnet.errors import ConfigError
from subnet.synapse import Message, Synapse
from subnet.tls import ServerCertificate, load_certificate
from subnet.types import TLS_ALGORITHM, TLS_PROTOCOL, AxonInfo, Certificate, Hotkey, Neuron, Uid
from tests.certificates import HAVE_OPENSSL, self_signed

pytestmark = pytest.mark.skipif(not HAVE_OPENSSL, reason="certificates are made with openssl")

MINER, CALLER = (Keypair.create_from_uri(f"//{name}") for name in ("Miner", "Caller"))


class Pong(Message):
    text: str


class Ping(Synapse[Pong], timeout=30.0):
    text: str


async def ping(request: Ping) -> Pong:
    return Pong(text=request.text)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[ServerCertificate, ServerCertificate]:
    folder = tmp_path_factory.mktemp("tls")
    return load_certificate(*self_signed(folder, "mine")), load_certificate(*self_signed(folder, "other"))


def neuron(port: int, certificate: ServerCertificate | None) -> Neuron:
    """As the chain lists it."""
    axon = AxonInfo("127.0.0.1", port, protocol=TLS_PROTOCOL if certificate else 4)
    published = certificate and Certificate(certificate.published[1:], certificate.published[0])
    return Neuron(Uid(0), Hotkey(MINER.ss58_address), axon=axon.with_certificate(published))


async def test_only_the_published_certificate_is_taken(
    certificates: tuple[ServerCertificate, ServerCertificate],
) -> None:
    mine, other = certificates
    axon = Axon(MINER, tls=mine.context)
    axon.serve(ping)
    async with axon, Dendrite(CALLER) as dendrite:
        for _ in range(2):  # the second time over the kept connection
            (good,) = await dendrite.query([neuron(axon.port, mine)], Ping(text="secret"))
            assert isinstance(good, Ok), good
            assert good.value.text == "secret"
            assert good.receipt is not None
        (wrong,) = await dendrite.query([neuron(axon.port, other)], Ping(text="secret"))
        (plain,) = await dendrite.query([neuron(axon.port, None)], Ping(text="secret"), timeout=5)
    assert isinstance(wrong, Failure)
    assert wrong.reason is Reason.UNREACHABLE
    assert isinstance(plain, Failure)


async def test_who_published_a_certificate_is_not_asked_in_the_clear(
    certificates: tuple[ServerCertificate, ServerCertificate],
) -> None:
    axon = Axon(MINER)  # somebody who took the address, or a miner that forgot to say it went back
    axon.serve(ping)
    async with axon, Dendrite(CALLER) as dendrite:
        (failed,) = await dendrite.query([neuron(axon.port, certificates[0])], Ping(text="secret"), timeout=20)
    assert isinstance(failed, Failure)
    assert axon.stats.bytes_in == 0


def test_an_address_is_https_only_where_both_say_so(certificates: tuple[ServerCertificate, ServerCertificate]) -> None:
    published = Certificate(certificates[0].fingerprint, TLS_ALGORITHM)
    plain, tls = AxonInfo("1.2.3.4", 80), AxonInfo("1.2.3.4", 80, protocol=TLS_PROTOCOL)
    assert tls.with_certificate(published).url == "https://1.2.3.4:80"
    for axon, certificate in (
        (plain, published),  # what is left of a time before
        (tls, None),
        (tls, Certificate(b"a key", 1)),  # somebody else's use of the field
        (tls, Certificate(b"short", TLS_ALGORITHM)),
    ):
        assert axon.with_certificate(certificate).url == "http://1.2.3.4:80"


def test_files_that_can_t_be_served_with(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, "mine")
    _, other = self_signed(tmp_path, "other")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    for files in ((certificate, other), (nonsense, key), (tmp_path / "none.pem", key), (key, certificate)):
        with pytest.raises(ConfigError, match="can't be served with"):
            load_certificate(*files)

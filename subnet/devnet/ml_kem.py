"""ML-KEM-768, the key encapsulation of FIPS 203, in plain Python: what clients encrypt to a MEV shield with.

For a local chain only: it takes a few milliseconds and makes no effort to take the same time for every key.
Polynomials are lists of 256 coefficients modulo Q.
"""

from __future__ import annotations

import hmac
from hashlib import sha3_256, sha3_512, shake_128, shake_256

Q = 3329
N = 256
K = 3  # rows and columns of the matrix
ETA = 2
DU, DV = 10, 4  # bits that a ciphertext keeps of each coefficient
PUBLIC_KEY = 384 * K + 32  # bytes
CIPHERTEXT = 32 * (DU * K + DV)

Poly = list[int]


def _reversed7(number: int) -> int:
    return int(f"{number:07b}"[::-1], 2)


_ZETAS = [pow(17, _reversed7(i), Q) for i in range(128)]
_GAMMAS = [pow(17, 2 * _reversed7(i) + 1, Q) for i in range(128)]
_INVERSE_128 = pow(128, -1, Q)


def _ntt(poly: Poly) -> Poly:
    f, i, length = list(poly), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta, i = _ZETAS[i], i + 1
            for j in range(start, start + length):
                t = zeta * f[j + length]
                f[j + length] = (f[j] - t) % Q
                f[j] = (f[j] + t) % Q
        length //= 2
    return f


def _inverse(poly: Poly) -> Poly:
    f, i, length = list(poly), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta, i = _ZETAS[i], i - 1
            for j in range(start, start + length):
                t = f[j]
                f[j] = (t + f[j + length]) % Q
                f[j + length] = zeta * (f[j + length] - t) % Q
        length *= 2
    return [x * _INVERSE_128 % Q for x in f]


def _multiply(f: Poly, g: Poly) -> Poly:
    """The product of two polynomials in the domain of :func:`_ntt`."""
    product = []
    for i, gamma in enumerate(_GAMMAS):
        a0, a1, b0, b1 = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        product += [(a0 * b0 + a1 * b1 * gamma) % Q, (a0 * b1 + a1 * b0) % Q]
    return product


def _add(*polys: Poly) -> Poly:
    return [sum(column) % Q for column in zip(*polys, strict=True)]


def _dot(left: list[Poly], right: list[Poly]) -> Poly:
    return _add(*(_multiply(f, g) for f, g in zip(left, right, strict=True)))


def _uniform(seed: bytes) -> Poly:
    """A polynomial drawn from the seed, in the domain of :func:`_ntt`."""
    data = shake_128(seed).digest(1344)  # 2.2 times what is needed on average
    found: Poly = []
    for at in range(0, len(data), 3):
        a, b, c = data[at : at + 3]
        found += [x for x in (a + 256 * (b % 16), b // 16 + 16 * c) if x < Q]
    return found[:N]


def _small(seed: bytes, nonce: int) -> Poly:
    """Coefficients from -2 to 2, binomially distributed."""
    bits = int.from_bytes(shake_256(seed + bytes([nonce])).digest(64 * ETA), "little")
    found = []
    for _ in range(N):
        found.append(((bits & 1) + (bits >> 1 & 1) - (bits >> 2 & 1) - (bits >> 3 & 1)) % Q)
        bits >>= 2 * ETA
    return found


def _pack(poly: Poly, width: int) -> bytes:
    number = 0
    for x in reversed(poly):
        number = number << width | x
    return number.to_bytes(N * width // 8, "little")


def _unpack(data: bytes, width: int) -> Poly:
    number, mask, found = int.from_bytes(data, "little"), (1 << width) - 1, []
    for _ in range(N):
        found.append(number & mask)
        number >>= width
    return found


def _compress(poly: Poly, width: int) -> Poly:
    return [((x << width) + Q // 2) // Q & (1 << width) - 1 for x in poly]


def _decompress(poly: Poly, width: int) -> Poly:
    return [(x * Q + (1 << width - 1)) >> width for x in poly]


def _matrix(rho: bytes) -> list[list[Poly]]:
    return [[_uniform(rho + bytes([j, i])) for j in range(K)] for i in range(K)]


def _unpacked(data: bytes, width: int) -> list[Poly]:
    size = 32 * width
    return [_unpack(data[at : at + size], width) for at in range(0, size * K, size)]


def _encrypt(public: bytes, message: bytes, seed: bytes) -> bytes:
    t, matrix = _unpacked(public, 12), _matrix(public[384 * K :])
    y = [_ntt(_small(seed, n)) for n in range(K)]
    columns = [[matrix[i][j] for i in range(K)] for j in range(K)]
    u = [_add(_inverse(_dot(column, y)), _small(seed, K + n)) for n, column in enumerate(columns)]
    v = _add(_inverse(_dot(t, y)), _small(seed, 2 * K), _decompress(_unpack(message, 1), 1))
    return b"".join(_pack(_compress(part, DU), DU) for part in u) + _pack(_compress(v, DV), DV)


def _decrypt(secret: list[Poly], ciphertext: bytes) -> bytes:
    u = [_ntt(_decompress(part, DU)) for part in _unpacked(ciphertext, DU)]
    v = _decompress(_unpack(ciphertext[32 * DU * K :], DV), DV)
    noisy = [(a - b) % Q for a, b in zip(v, _inverse(_dot(secret, u)), strict=True)]
    return _pack(_compress(noisy, 1), 1)


class KeyPair:
    """A key pair from a 64-byte seed."""

    def __init__(self, seed: bytes) -> None:
        digest = sha3_512(seed[:32] + bytes([K])).digest()
        rho, sigma = digest[:32], digest[32:]
        self._secret = [_ntt(_small(sigma, n)) for n in range(K)]
        noise = [_ntt(_small(sigma, K + n)) for n in range(K)]
        rows = [_add(_dot(row, self._secret), noise[i]) for i, row in enumerate(_matrix(rho))]
        self.public = b"".join(_pack(row, 12) for row in rows) + rho
        self._fallback = seed[32:64]

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """The 32 bytes that were encapsulated; others, that nobody knows, for a ciphertext that is not one."""
        if len(ciphertext) != CIPHERTEXT:
            raise ValueError(f"{len(ciphertext)} bytes where {CIPHERTEXT} belong")
        message = _decrypt(self._secret, ciphertext)
        shared, seed = _derive(message, self.public)
        honest = hmac.compare_digest(_encrypt(self.public, message, seed), ciphertext)
        return shared if honest else shake_256(self._fallback + ciphertext).digest(32)


def _derive(message: bytes, public: bytes) -> tuple[bytes, bytes]:
    digest = sha3_512(message + sha3_256(public).digest()).digest()
    return digest[:32], digest[32:]


def encapsulate(public: bytes, message: bytes) -> tuple[bytes, bytes]:
    """32 shared bytes and the ciphertext that carries them, from 32 random ones (``message``)."""
    shared, seed = _derive(message, public)
    return shared, _encrypt(public, message, seed)

"""The runtime's epoch once more, line by line in plain Python: slow, and owing nothing to numpy.

A transcription of ``epoch`` (293) and ``epoch_mechanism`` (head) with the functions of math.rs that
they call, on sparse rows of I32F32 bits as Python integers, pivots and merges included.
Source: pallets/subtensor/src/epoch of github.com/opentensor/subtensor (Unlicense).
"""

from __future__ import annotations

from typing import Any

ONE = 1 << 32
MAX = (1 << 63) - 1
Row = list[tuple[int, int]]
Matrix = list[Row]


def mul(a: int, b: int) -> int:
    return max(-MAX - 1, min(MAX, (a * b) >> 32))


def div(a: int, b: int) -> int:
    if b == 0:
        return 0
    quotient = (abs(a) << 32) // abs(b)
    quotient = quotient if (a < 0) == (b < 0) else -quotient
    return quotient if -MAX - 1 <= quotient <= MAX else 0


def num(x: int) -> int:
    return x << 32


def u16(x: int) -> int:
    return max(0, min(65535, mul(x, num(65535)) >> 32))


def exp(x: int) -> int | None:
    if x == 0:
        return ONE
    if x == ONE:
        return 22802600 << 9
    size = abs(x)
    result, term = size + ONE, size
    for i in range(2, 32):
        term = (term * size) >> 32
        if term > MAX:
            return None
        term = (term << 32) // num(i)
        result += term
        if result > MAX:
            return None
    return div(ONE, result) if x < 0 else result


def normalise(x: list[int]) -> list[int]:
    total = sum(x)
    return [div(v, total) for v in x] if total else list(x)


def column_sums(matrix: Matrix, n: int) -> list[int]:
    sums = [0] * n
    for row in matrix:
        for j, v in row:
            sums[j] += v
    return sums


def column_normalise(matrix: Matrix, n: int) -> Matrix:
    sums = column_sums(matrix, n)
    return [[(j, div(v, sums[j]) if sums[j] else v) for j, v in row] for row in matrix]


def column_upscale(matrix: Matrix, n: int) -> Matrix:
    top = [0] * n
    for row in matrix:
        for j, v in row:
            top[j] = max(top[j], v)
    return [[(j, div(v, top[j]) if top[j] else v) for j, v in row] for row in matrix]


def row_normalise(matrix: Matrix) -> Matrix:
    out = []
    for row in matrix:
        total = sum(v for _, v in row)
        out.append([(j, div(v, total)) for j, v in row] if total > 0 else row)
    return out


def matmul(matrix: Matrix, vector: list[int], n: int) -> list[int]:
    out = [0] * n
    for row, scale in zip(matrix, vector, strict=True):
        for j, v in row:
            out[j] += mul(scale, v)
    return out


def matmul_transpose(matrix: Matrix, vector: list[int]) -> list[int]:
    return [sum(mul(vector[j], v) for j, v in row) for row in matrix]


def weighted_median(stake: list[int], score: list[int], minority: int) -> int:
    part, lo, hi = list(range(len(stake))), 0, sum(stake)
    while part:
        if len(part) == 1:
            return score[part[0]]
        pivot = score[part[len(part) // 2]]
        lower = [i for i in part if score[i] < pivot]
        upper = [i for i in part if score[i] > pivot]
        lo_stake, hi_stake = sum(stake[i] for i in lower), sum(stake[i] for i in upper)
        if minority < lo + lo_stake and lower:
            part, hi = lower, lo + lo_stake
        elif hi - hi_stake <= minority and upper:
            part, lo = upper, hi - hi_stake
        else:
            return pivot
    return 0


def median_columns(stake: list[int], score: Matrix, n: int, kappa: int) -> list[int]:
    rows = [i for i, s in enumerate(stake) if s > 0]
    use = normalise([stake[i] for i in rows])
    columns = [[0] * len(rows) for _ in range(n)]
    for k, i in enumerate(rows):
        for j, v in score[i]:
            columns[j][k] = v
    return [weighted_median(use, column, sum(use) - kappa) for column in columns]


def clip(matrix: Matrix, top: list[int]) -> Matrix:
    return [[(j, min(v, top[j])) for j, v in row if v <= top[j] or top[j] > 0] for row in matrix]


def interpolate(a: Matrix, b: Matrix, n: int, ratio: int) -> Matrix:
    if ratio == 0:
        return a
    if ratio == ONE:
        return b
    out = []
    for row_a, row_b in zip(a, b, strict=True):
        x, y = dict(row_a), dict(row_b)
        mixed = [(j, x.get(j, 0) + mul(ratio, y.get(j, 0) - x.get(j, 0))) for j in range(n)]
        out.append([(j, v) for j, v in mixed if v > 0])
    return out


def ema(new: Matrix, old: Matrix, alpha: int, n: int) -> Matrix:
    out = []
    for new_row, old_row in zip(new, old, strict=True):
        row = [0] * n
        for j, v in new_row:
            row[j] += mul(alpha, v)
        for j, v in old_row:
            row[j] += mul(ONE - alpha, v)
        out.append([(j, v) for j, v in enumerate(row) if v > 0])
    return out


def merged(row: Row, n: int) -> list[int]:
    """What peeking along a row finds for 0..n-1."""
    out, at = [0] * n, 0
    for j in range(n):
        while at < len(row) and row[at][0] < j:
            at += 1
        if at < len(row) and row[at][0] == j:
            out[j] = row[at][1]
    return out


def liquid_alpha(consensus: int, weight: int, bond: int, p: dict[str, Any], variant: str) -> int:
    low, high = div(num(p["alpha_low"]), num(65535)), div(num(p["alpha_high"]), num(65535))
    diff = max(min(weight - consensus if weight >= bond else bond - weight, ONE), 0)
    x = mul(div(num(p["alpha_sigmoid_steepness"]), num(-100)), diff - ONE // 2)
    if variant == "head":
        x = max(num(-20), min(num(20), x))
    power = exp(x)
    sigmoid = div(ONE, ONE + (0 if power is None else power))
    return max(min(low + mul(sigmoid, high - low), high), low)


def liquid_ema(new: Matrix, old: Matrix, consensus: list[int], p: dict[str, Any], variant: str) -> Matrix:
    n, out = len(consensus), []
    for new_row, old_row in zip(new, old, strict=True):
        w, b = merged(new_row, n), merged(old_row, n)
        alpha = [liquid_alpha(consensus[j], w[j], b[j], p, variant) for j in range(n)]
        decayed = [0] * n
        for j, v in old_row:
            decayed[j] = mul(ONE - alpha[j], v)
        row = [(j, min(decayed[j] + max(mul(alpha[j], v), 0), ONE)) for j, v in new_row]
        out.append([(j, v) for j, v in row if v > 0])
    return out


def upscale_u16(x: list[int]) -> list[int]:
    top = max(x, default=0)
    return [(div(v * 65535, top) + ONE // 2) >> 32 if top else 0 for v in x]


def epoch(given: dict[str, Any], p: dict[str, Any], variant: str) -> dict[str, Any]:
    """``given``: block, stake, tao_stake and tao_weight (may be left out), weights, bonds, last_update,
    block_at_registration, validator_permit, last_step_block, oldest_commit (or None), rao_emission;
    ``p``: the parameters. Out: storage items."""
    n, block, owner, head = len(given["stake"]), given["block"], p["owner_uid"], variant == "head"
    uids, updated, registered = range(n), given["last_update"], given["block_at_registration"]
    inactive = [updated[i] + p["activity_cutoff"] < block for i in uids]

    exempt = [head and i == owner for i in uids]
    tao_weight = (given.get("tao_weight", 0) << 32) // (2**64 - 1)
    totals = [num(s) + t * tao_weight for s, t in zip(given["stake"], given.get("tao_stake") or [0] * n, strict=True)]
    filtered = [s if exempt[i] or s >> 32 >= p["stake_threshold"] else 0 for i, s in enumerate(totals)]
    total = sum(filtered)
    stake = [(s << 64) // total >> 32 if total else 0 for s in filtered]
    permits = [bool(given["validator_permit"][i]) or exempt[i] for i in uids]
    new_permits = [s != 0 for s in stake]
    if n >= p["max_allowed_validators"]:
        for i in sorted(uids, key=lambda i: stake[i])[: n - p["max_allowed_validators"]]:
            new_permits[i] = False
    new_permits = [new_permits[i] or exempt[i] for i in uids]
    active = normalise([0 if inactive[i] or not permits[i] else stake[i] for i in uids])

    commits = given["oldest_commit"] if head else None
    weights: Matrix = []
    for i in uids:
        row = given["weights"].get(i, []) if permits[i] else []
        row = [(j, num(v)) for j, v in row if (j != i or i == owner) and not updated[i] <= registered[j]]
        weights.append([(j, v) for j, v in row if commits is None or not commits[i] < registered[j]])
    weights = row_normalise(weights)
    preranks = matmul(weights, active, n)
    consensus = median_columns(active, weights, n, div(num(p["kappa"]), num(65535)))
    clipped = clip(weights, consensus)
    ranks = matmul(clipped, active, n)
    trust = [div(a, b) for a, b in zip(ranks, preranks, strict=True)]
    incentive = normalise(ranks)

    for_bonds = interpolate(weights, clipped, n, div(num(p["bonds_penalty"]), num(65535)))
    last_tempo = max(block - p["tempo"], 0)
    if head and given["last_step_block"]:
        last_tempo = given["last_step_block"] + 1
    bonds = [[(j, num(v)) for j, v in given["bonds"].get(i, []) if not last_tempo <= registered[j]] for i in uids]
    alpha = ONE - (((p["bonds_moving_average"] << 64) // 10**6) >> 32)
    if p["yuma3"]:
        bonds = [[(j, div(v, num(65535))) for j, v in row] for row in bonds]
        if p["liquid_alpha"] and any(consensus):
            new_bonds = liquid_ema(for_bonds, bonds, consensus, p, variant)
        else:
            new_bonds = ema(for_bonds, bonds, alpha, n)
        held = matmul_transpose(column_normalise(new_bonds, n), incentive)
        dividends = normalise([mul(h, s) for h, s in zip(held, active, strict=True)])
    else:
        delta = [[(j, mul(v, s)) for j, v in row] for row, s in zip(for_bonds, active, strict=True)]
        new_bonds = ema(column_normalise(delta, n), column_normalise(bonds, n), alpha, n)
        new_bonds = column_normalise(new_bonds, n)
        dividends = normalise(matmul_transpose(new_bonds, incentive))
        new_bonds = column_upscale(new_bonds, n)

    combined = [a + b for a, b in zip(incentive, dividends, strict=True)]
    paid = sum(combined)
    server, validator = ([div(v, paid) if paid else v for v in x] for x in (incentive, dividends))
    both = normalise(combined)
    if paid == 0:
        validator = both = active if sum(active) else stake

    stored = {i: row for i, row in given["bonds"].items() if i >= n}
    for i in uids:
        if new_permits[i]:
            stored[i] = [(j, u16(v)) for j, v in new_bonds[i]]
        elif not head and not permits[i]:
            stored[i] = list(given["bonds"].get(i, []))
    rao = given["rao_emission"]
    return {
        "stake_weight": [u16(v) for v in stake],
        "active": [not v for v in inactive],
        "consensus": [u16(v) for v in consensus],
        "incentive": [u16(v) for v in incentive],
        "dividends": [u16(v) for v in dividends],
        "validator_trust": [u16(sum(v for _, v in row)) for row in clipped],
        "rank": [u16(v) for v in incentive],
        "trust": [u16(v) for v in trust],
        "pruning_scores": upscale_u16(both),
        "validator_permit": new_permits,
        "server_emission": [v * rao >> 32 for v in server],
        "validator_emission": [v * rao >> 32 for v in validator],
        "emission": [v * rao >> 32 for v in both],
        "bonds": {i: row for i, row in stored.items() if row},
    }

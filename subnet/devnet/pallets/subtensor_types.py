"""SCALE types of SubtensorModule: what it keeps of neurons, subnets, identities, children and rate limits."""

from __future__ import annotations

from subnet.devnet.scale import (
    ACCOUNT,
    BYTES,
    H256,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    Bounded,
    Enum,
    Struct,
    Tuple,
    Variant,
    Vec,
)

FIXED_U128 = Struct("substrate_fixed::FixedU128", bits=U128)
FIXED_I128 = Struct("substrate_fixed::FixedI128", bits=I128)
SAFE_FLOAT = Struct("share_pool::SafeFloat", mantissa=U128, exponent=I64)
AXON_INFO = Struct(
    "pallet_subtensor::pallet::AxonInfo",
    block=U64,
    version=U32,
    ip=U128,
    port=U16,
    ip_type=U8,
    protocol=U8,
    placeholder1=U8,
    placeholder2=U8,
)
PROMETHEUS_INFO = Struct(
    "pallet_subtensor::pallet::PrometheusInfo", block=U64, version=U32, ip=U128, port=U16, ip_type=U8
)
CHAIN_IDENTITY = Struct(
    "pallet_subtensor::pallet::ChainIdentityV2",
    name=BYTES,
    url=BYTES,
    github_repo=BYTES,
    image=BYTES,
    discord=BYTES,
    description=BYTES,
    additional=BYTES,
)
SUBNET_IDENTITY = Struct(
    "pallet_subtensor::pallet::SubnetIdentityV3",
    subnet_name=BYTES,
    github_repo=BYTES,
    subnet_contact=BYTES,
    subnet_url=BYTES,
    discord=BYTES,
    description=BYTES,
    logo_url=BYTES,
    additional=BYTES,
)
LOCK_STATE = Struct(
    "pallet_subtensor::staking::lock::LockState", locked_mass=U64, conviction=FIXED_U128, last_update=U64
)
CERTIFICATE = Struct("pallet_subtensor::pallet::NeuronCertificate", public_key=BYTES, algorithm=U8)
CHILDREN = Vec(Tuple(U64, ACCOUNT))
COMMITS = Vec(Tuple(H256, U64, U64, U64))
PAIRS = Vec(Tuple(U16, U16))
SHARES = Vec(U16)

COMMIT = Bounded(BYTES, 5000)  # a time-locked commit

LAST_REGISTERED = ("NetworkLastRegistered", None)
_OWNERS = (
    "Unknown ServingRateLimit MaxDifficulty AdjustmentAlpha MaxWeightLimit ImmunityPeriod MinAllowedWeights Kappa Rho "
    "ActivityCutoff PowRegistrationAllowed MinBurn MaxBurn BondsMovingAverage BondsPenalty CommitRevealEnabled "
    "LiquidAlphaEnabled AlphaValues WeightCommitInterval TransferEnabled AlphaSigmoidSteepness Yuma3Enabled "
    "BondsResetEnabled ImmuneNeuronLimit RecycleOrBurn MaxAllowedUids BurnHalfLife BurnIncreaseMult "
    "SubnetEmissionEnabled MinChildkeyTake ActivityCutoffFactorMilli TriggerEpoch"
)
HYPERPARAMETER = Enum(
    "pallet_subtensor::utils::rate_limiting::Hyperparameter",
    [Variant(name, index) for index, name in enumerate(_OWNERS.split())],
)
RATE_LIMIT_KEY = Enum(
    "pallet_subtensor::RateLimitKey",
    [
        Variant("SetSNOwnerHotkey", 0, [(None, U16)]),
        Variant("OwnerHyperparamUpdate", 1, [(None, U16), (None, HYPERPARAMETER)]),
        Variant("NetworkLastRegistered", 2),
        Variant("LastTxBlock", 3, [(None, ACCOUNT)]),
        Variant("LastTxBlockChildKeyTake", 4, [(None, ACCOUNT)]),
        Variant("LastTxBlockDelegateTake", 5, [(None, ACCOUNT)]),
        Variant("AddStakeBurn", 6, [(None, U16)]),
    ],
)
EPOCH_CONSENSUS = Enum("pallet_subtensor::pallet::EpochConsensus", [Variant("Yuma", 0), Variant("Null", 1)])
RECYCLE_OR_BURN = Enum("pallet_subtensor::pallet::RecycleOrBurnEnum", [Variant("Burn", 0), Variant("Recycle", 1)])


def fixed(value: float) -> dict[str, int]:
    """A U64F64 (or I96F32, by its own shift) from a float, as its bits."""
    return {"bits": int(value * (1 << 64))}

"""SubtensorModule: its storage and events. What it does stands in the modules ``subtensor_*`` beside this one.

Names, key types, hashers and value types are those of subtensor's runtime of June 2026, defaults too
unless a comment says otherwise; Rank, Trust and PruningScores are kept for clients of older runtimes.
Amounts are RAO (of TAO, or of the subnet's alpha), delays and limits are blocks, shares are u16
(65535 = 1). Matrices and vectors of mechanism 0 are keyed by the netuid itself.
"""

from __future__ import annotations

from subnet.devnet.hashing import IDENTITY, TWOX64_CONCAT
from subnet.devnet.pallet import Constant, Event, Item, Maybe, Pallet
from subnet.devnet.pallets.subtensor_errors import Error
from subnet.devnet.pallets.subtensor_types import (
    AXON_INFO,
    CERTIFICATE,
    CHAIN_IDENTITY,
    CHILDREN,
    COMMIT,
    COMMITS,
    EPOCH_CONSENSUS,
    FIXED_I128,
    FIXED_U128,
    LOCK_STATE,
    PAIRS,
    PROMETHEUS_INFO,
    RATE_LIMIT_KEY,
    RECYCLE_OR_BURN,
    SAFE_FLOAT,
    SHARES,
    SUBNET_IDENTITY,
    fixed,
)
from subnet.devnet.scale import (
    ACCOUNT,
    BOOL,
    BYTES,
    H256,
    I16,
    U8,
    U16,
    U32,
    U64,
    U128,
    Compact,
    Tuple,
    Vec,
)
from subnet.devnet.shapes import ACCOUNT_KEY, DISPATCH_ERROR, NETUID, NETUID_BLAKE2, NETUID_TWOX, UID
from subnet.devnet.state import State

TAO = 10**9
ROOT = 0  # the root network's netuid


class SubtensorModule(Pallet, index=7, rust="pallet_subtensor"):
    """Subnets: their neurons, weights, stake, emission and hyperparameters."""

    errors = Error

    # networks
    NetworksAdded = Item(BOOL, NETUID)
    TotalNetworks = Item(U16)
    SubnetworkN = Item(U16, NETUID)
    SubnetOwner = Item(ACCOUNT, NETUID)
    SubnetOwnerHotkey = Item(ACCOUNT, NETUID)
    SubnetMechanism = Item(U16, NETUID)
    SubnetLimit = Item(U16, default=128)
    SubnetLocked = Item(U64, NETUID)
    NetworkRegisteredAt = Item(U64, NETUID)
    NetworkImmunityPeriod = Item(U64, default=1_296_000)
    FirstEmissionBlockNumber = Maybe(U64, NETUID)
    SubtokenEnabled = Item(BOOL, NETUID)
    SubnetEmissionEnabled = Item(BOOL, NETUID, default=True)
    TokenSymbol = Item(BYTES, NETUID, default=b"\xf0\x9d\x9c\x8f")
    StartCallDelay = Item(U64)
    NetworkRateLimit = Item(U64, default=7200)
    NetworkMinLockCost = Item(U64, default=1000 * TAO)
    NetworkLastLockCost = Item(U64, default=1000 * TAO)
    LastRateLimitedBlock = Item(U64, (IDENTITY, RATE_LIMIT_KEY))
    NetworkLockReductionInterval = Item(U64, default=100_800)
    AdminFreezeWindow = Item(U16)

    # neurons
    Keys = Item(ACCOUNT, NETUID, UID)
    Uids = Maybe(U16, NETUID, ACCOUNT_KEY)
    IsNetworkMember = Item(BOOL, ACCOUNT_KEY, NETUID)
    Owner = Item(ACCOUNT, ACCOUNT_KEY)
    OwnedHotkeys = Item(Vec(ACCOUNT), ACCOUNT_KEY)
    StakingHotkeys = Item(Vec(ACCOUNT), ACCOUNT_KEY)
    BlockAtRegistration = Item(U64, NETUID, UID)
    Axons = Maybe(AXON_INFO, NETUID, ACCOUNT_KEY)
    Prometheus = Maybe(PROMETHEUS_INFO, NETUID, ACCOUNT_KEY)
    NeuronCertificates = Maybe(CERTIFICATE, NETUID, ACCOUNT_KEY)
    Active = Item(Vec(BOOL), NETUID)
    Rank = Item(SHARES, NETUID)
    Trust = Item(SHARES, NETUID)
    Consensus = Item(SHARES, NETUID)
    Incentive = Item(SHARES, NETUID)
    Dividends = Item(SHARES, NETUID)
    Emission = Item(Vec(U64), NETUID)
    LastUpdate = Item(Vec(U64), NETUID)
    ValidatorTrust = Item(SHARES, NETUID)
    PruningScores = Item(SHARES, NETUID)
    ValidatorPermit = Item(Vec(BOOL), NETUID)
    StakeWeight = Item(SHARES, NETUID)
    Weights = Item(PAIRS, NETUID, UID)
    Bonds = Item(PAIRS, NETUID, UID)

    # epochs
    Tempo = Item(U16, NETUID, default=360)
    LastEpochBlock = Item(U64, NETUID)
    PendingEpochAt = Item(U64, NETUID)
    SubnetEpochIndex = Item(U64, NETUID)
    BlocksSinceLastStep = Item(U64, NETUID)
    LastMechansimStepBlock = Item(U64, NETUID)
    MaxEpochsPerBlock = Item(U8, default=32)  # 2 on the real chain

    # hyperparameters
    Kappa = Item(U16, NETUID, default=32_767)
    Rho = Item(U16, NETUID, default=10)
    ImmunityPeriod = Item(U16, NETUID, default=4096)
    MinAllowedWeights = Item(U16, NETUID, default=1024)
    MaxWeightsLimit = Item(U16, NETUID, default=65535)
    WeightsVersionKey = Item(U64, NETUID)
    WeightsSetRateLimit = Item(U64, NETUID, default=100)
    ActivityCutoff = Item(U16, NETUID, default=5000)
    MinActivityCutoff = Item(U16, default=1)  # 360 on the real chain
    ActivityCutoffFactorMilli = Item(U32, NETUID, default=13_889)
    MaxAllowedUids = Item(U16, NETUID, default=256)
    MinAllowedUids = Item(U16, NETUID)  # 64 on the real chain: a local subnet may be small
    MaxAllowedValidators = Item(U16, NETUID, default=128)
    MinNonImmuneUids = Item(U16, NETUID)  # 10 on the real chain, likewise
    ImmuneOwnerUidsLimit = Item(U16, NETUID, default=1)
    BondsMovingAverage = Item(U64, NETUID, default=900_000)
    BondsPenalty = Item(U16, NETUID, default=65535)
    BondsResetOn = Item(BOOL, NETUID)
    LiquidAlphaOn = Item(BOOL, NETUID_BLAKE2)
    AlphaValues = Item(Tuple(U16, U16), NETUID, default=(45_875, 58_982))
    AlphaSigmoidSteepness = Item(I16, NETUID, default=1000)
    Yuma3On = Item(BOOL, NETUID_BLAKE2)
    ServingRateLimit = Item(U64, NETUID, default=50)
    TransferToggle = Item(BOOL, NETUID, default=True)
    OwnerCutEnabled = Item(BOOL, NETUID, default=True)
    StakeThreshold = Item(U64)
    TaoWeight = Item(U64, default=971_718_665_099_567_868)
    TxRateLimit = Item(U64)  # 1000 on the real chain

    # registration
    NetworkRegistrationAllowed = Item(BOOL, NETUID, default=True)
    NetworkPowRegistrationAllowed = Item(BOOL, NETUID)
    TargetRegistrationsPerInterval = Item(U16, NETUID, default=2)
    MaxRegistrationsPerBlock = Item(U16, NETUID, default=256)  # 1 on the real chain, which reads it for root only
    RegistrationsThisInterval = Item(U16, NETUID)
    RegistrationsThisBlock = Item(U16, NETUID)
    LastAdjustmentBlock = Item(U64, NETUID)
    AdjustmentInterval = Item(U16, NETUID, default=100)
    AdjustmentAlpha = Item(U64, NETUID)
    Difficulty = Item(U64, NETUID, default=10_000_000)
    MinDifficulty = Item(U64, NETUID, default=10_000_000)
    MaxDifficulty = Item(U64, NETUID, default=2**62)
    Burn = Item(U64, NETUID, default=100_000_000)
    MinBurn = Item(U64, NETUID, default=500_000)
    MaxBurn = Item(U64, NETUID, default=100 * TAO)
    BurnHalfLife = Item(U16, NETUID, default=360)
    BurnIncreaseMult = Item(FIXED_U128, NETUID, default=fixed(1.26))
    UsedWork = Item(U64, (IDENTITY, BYTES))
    RAORecycledForRegistration = Item(U64, NETUID)

    # stake and emission
    TotalIssuance = Item(U64)
    TotalStake = Item(U64)
    TotalHotkeyAlpha = Item(U64, ACCOUNT_KEY, NETUID)
    TotalHotkeyAlphaLastEpoch = Item(U64, ACCOUNT_KEY, NETUID)
    TotalHotkeyShares = Item(FIXED_U128, ACCOUNT_KEY, NETUID)
    TotalHotkeySharesV2 = Item(SAFE_FLOAT, ACCOUNT_KEY, NETUID)
    Alpha = Item(FIXED_U128, ACCOUNT_KEY, ACCOUNT_KEY, NETUID)
    AlphaV2 = Item(SAFE_FLOAT, ACCOUNT_KEY, ACCOUNT_KEY, NETUID)
    SubnetTAO = Item(U64, NETUID)
    SubnetAlphaIn = Item(U64, NETUID)
    SubnetAlphaOut = Item(U64, NETUID)
    SubnetVolume = Item(U128, NETUID)
    SubnetMovingPrice = Item(FIXED_I128, NETUID)
    SubnetOwnerCut = Item(U16, default=11_796)
    BlockEmission = Item(U64, default=TAO)
    PendingServerEmission = Item(U64, NETUID)
    PendingValidatorEmission = Item(U64, NETUID)
    PendingRootAlphaDivs = Item(U64, NETUID)
    PendingOwnerCut = Item(U64, NETUID)
    SubnetAlphaInEmission = Item(U64, NETUID)
    SubnetAlphaOutEmission = Item(U64, NETUID)
    SubnetTaoInEmission = Item(U64, NETUID)
    AlphaDividendsPerSubnet = Item(U64, NETUID, ACCOUNT_KEY)
    RootAlphaDividendsPerSubnet = Item(U64, NETUID, ACCOUNT_KEY)
    Delegates = Item(U16, ACCOUNT_KEY, default=11_796)
    MaxDelegateTake = Item(U16, default=11_796)
    MinDelegateTake = Item(U16)
    ChildkeyTake = Item(U16, ACCOUNT_KEY, NETUID)
    ChildKeys = Item(CHILDREN, ACCOUNT_KEY, NETUID)
    ParentKeys = Item(CHILDREN, ACCOUNT_KEY, NETUID)
    NominatorMinRequiredStake = Item(U64)
    TxDelegateTakeRateLimit = Item(U64)  # 216,000 on the real chain
    RecycleOrBurn = Item(RECYCLE_OR_BURN, NETUID, default=("Burn", None))

    # children
    MinChildkeyTake = Item(U16)
    MaxChildkeyTake = Item(U16, default=11_796)
    MinChildkeyTakePerSubnet = Item(U16, NETUID)
    TxChildkeyTakeRateLimit = Item(U64, default=5)  # 216,000 on the real chain; this is its fast build's
    PendingChildKeys = Item(Tuple(CHILDREN, U64), NETUID, ACCOUNT_KEY)
    PendingChildKeyCooldown = Item(U64, default=15)  # 108,000 on the real chain, likewise
    CKBurn = Item(U64)

    # rate limits
    TransactionKeyLastBlock = Item(U64, ACCOUNT_KEY, NETUID, UID)
    OwnerHyperparamRateLimit = Item(U16)  # tempos; 2 on the real chain
    WeightsVersionKeyRateLimit = Item(U64)  # tempos; 5 on the real chain

    # identities
    IdentitiesV2 = Maybe(CHAIN_IDENTITY, ACCOUNT_KEY)
    SubnetIdentitiesV3 = Maybe(SUBNET_IDENTITY, NETUID_BLAKE2)

    # commit-reveal and mechanisms
    CommitRevealWeightsEnabled = Item(BOOL, NETUID, default=True)
    CommitRevealWeightsVersion = Item(U16, default=4)
    RevealPeriodEpochs = Item(U64, NETUID_TWOX, default=1)
    WeightCommits = Maybe(COMMITS, (TWOX64_CONCAT, U16), (TWOX64_CONCAT, ACCOUNT))
    TimelockedWeightCommits = Item(Vec(Tuple(ACCOUNT, U64, COMMIT, U64)), NETUID_TWOX, (TWOX64_CONCAT, U64))
    CRV3WeightCommits = Item(Vec(Tuple(ACCOUNT, COMMIT, U64)), NETUID_TWOX, (TWOX64_CONCAT, U64))
    MechanismCountCurrent = Item(U8, NETUID_TWOX, default=1)
    MaxMechanismCount = Item(U8, default=2)
    MechanismEmissionSplit = Maybe(SHARES, NETUID_TWOX)
    SubnetEpochConsensus = Item(EPOCH_CONSENSUS, NETUID)

    # what bittensor 11 reads before it goes on, and nothing here ever writes
    SubnetEmaTaoFlow = Maybe(Tuple(U64, FIXED_I128), NETUID)
    Lock = Maybe(LOCK_STATE, ACCOUNT_KEY, NETUID, ACCOUNT_KEY)
    AutoStakeDestination = Maybe(ACCOUNT, ACCOUNT_KEY, NETUID)
    CollateralLockShare = Item(U16, NETUID)  # this and the next came after June 2026
    CollateralDrainRatio = Item(FIXED_U128, NETUID)

    NetworkAdded = Event(0, U16, U16)
    StakeAdded = Event(2, ACCOUNT, ACCOUNT, U64, U64, U16, U64)
    StakeRemoved = Event(3, ACCOUNT, ACCOUNT, U64, U64, U16, U64)
    StakeMoved = Event(4, ACCOUNT, ACCOUNT, U16, ACCOUNT, U16, U64)
    WeightsSet = Event(5, U16, U16)
    NeuronRegistered = Event(6, U16, U16, ACCOUNT)
    MaxAllowedUidsSet = Event(9, U16, U16)
    MaxWeightLimitSet = Event(10, U16, U16)
    DifficultySet = Event(11, U16, U64)
    AdjustmentIntervalSet = Event(12, U16, U16)
    RegistrationPerIntervalSet = Event(13, U16, U16)
    MaxRegistrationsPerBlockSet = Event(14, U16, U16)
    ActivityCutoffSet = Event(15, U16, U16)
    AlphaSigmoidSteepnessSet = Event(17, U16, I16)
    KappaSet = Event(18, U16, U16)
    MinAllowedWeightSet = Event(19, U16, U16)
    WeightsSetRateLimitSet = Event(22, U16, U64)
    ImmunityPeriodSet = Event(23, U16, U16)
    BondsMovingAverageSet = Event(24, U16, U64)
    BondsPenaltySet = Event(25, U16, U16)
    MaxAllowedValidatorsSet = Event(27, U16, U16)
    AxonServed = Event(28, U16, ACCOUNT)
    PrometheusServed = Event(29, U16, ACCOUNT)
    WeightsVersionKeySet = Event(32, U16, U64)
    MinDifficultySet = Event(33, U16, U64)
    MaxDifficultySet = Event(34, U16, U64)
    ServingRateLimitSet = Event(35, U16, U64)
    MaxBurnSet = Event(37, U16, U64)
    MinBurnSet = Event(38, U16, U64)
    MaxEpochsPerBlockSet = Event(39, U8)
    TxRateLimitSet = Event(40, U64)
    TxDelegateTakeRateLimitSet = Event(41, U64)
    TxChildKeyTakeRateLimitSet = Event(42, U64)
    AdminFreezeWindowSet = Event(43, U16)
    OwnerHyperparamRateLimitSet = Event(44, U16)
    MinChildKeyTakeSet = Event(45, U16)
    MinChildKeyTakePerSubnetSet = Event(46, U16, U16)
    MaxChildKeyTakeSet = Event(47, U16)
    ChildKeyTakeSet = Event(48, ACCOUNT, U16)
    RegistrationAllowed = Event(50, U16, BOOL)
    PowRegistrationAllowed = Event(51, U16, BOOL)
    TempoSet = Event(52, U16, U16)
    RAORecycledForRegistrationSet = Event(53, U16, U64)
    StakeThresholdSet = Event(54, U64)
    AdjustmentAlphaSet = Event(55, U16, U64)
    SubnetOwnerCutSet = Event(57, U16)
    NetworkRateLimitSet = Event(58, U64)
    NetworkImmunityPeriodSet = Event(59, U64)
    StartCallDelaySet = Event(60, U64)
    NetworkMinLockCostSet = Event(61, U64)
    SubnetLimitSet = Event(62, U16)
    LockReductionIntervalSet = Event(63, U64).called("NetworkLockCostReductionIntervalSet")
    TakeDecreased = Event(64, ACCOUNT, ACCOUNT, U16)
    TakeIncreased = Event(65, ACCOUNT, ACCOUNT, U16)
    MaxDelegateTakeSet = Event(67, U16)
    MinDelegateTakeSet = Event(68, U16)
    SetChildrenScheduled = Event(75, ACCOUNT, U16, U64, CHILDREN)
    SetChildren = Event(76, ACCOUNT, U16, CHILDREN)
    ChainIdentitySet = Event(77, ACCOUNT)
    SubnetIdentitySet = Event(78, U16)
    WeightsCommitted = Event(85, ACCOUNT, U16, H256)
    WeightsRevealed = Event(86, ACCOUNT, U16, H256)
    WeightsBatchRevealed = Event(87, ACCOUNT, U16, Vec(H256))
    BatchWeightsCompleted = Event(88, Vec(Compact(U16)), ACCOUNT)
    BatchCompletedWithErrors = Event(89)
    BatchWeightItemFailed = Event(90, U16, DISPATCH_ERROR)
    StakeTransferred = Event(91, ACCOUNT, ACCOUNT, ACCOUNT, U16, U16, U64)
    StakeSwapped = Event(92, ACCOUNT, ACCOUNT, U16, U16, U64)
    TransferToggled = Event(93, U16, BOOL).called("TransferToggle")
    SubnetOwnerHotkeySet = Event(94, U16, ACCOUNT)
    FirstEmissionBlockNumberSet = Event(95, U16, U64)
    CommitRevealPeriodsSet = Event(100, U16, U64)
    CommitRevealSet = Event(101, U16, BOOL).called("CommitRevealEnabled")
    CommitRevealVersionSet = Event(106, U16)
    TimelockedWeightsCommitted = Event(107, ACCOUNT, U16, H256, U64)
    TimelockedWeightsRevealed = Event(108, U16, ACCOUNT)
    IncentiveAlphaEmittedToMiners = Event(110, netuid=U16, emissions=Vec(U64))
    MinAllowedUidsSet = Event(111, U16, U16)
    MinNonImmuneUidsSet = Event(113, U16, U16)
    ActivityCutoffFactorMilliSet = Event(130, netuid=U16, factor_milli=U32)
    EpochTriggered = Event(131, netuid=U16, by=ACCOUNT, fires_at=U64)
    EpochDeferred = Event(132, netuid=U16, from_block=U64, to_block=U64)

    InitialTempo = Constant(U16, 360)
    InitialStartCallDelay = Constant(U64, 0)


def subnet_account(netuid: int) -> bytes:
    """The account that holds a subnet's TAO (the runtime's sub-account of ``subtensr``)."""
    return (b"modlsubtensr" + U16.encode(netuid)).ljust(32, b"\0")


def is_subnet_account(account: bytes) -> bool:
    return account.startswith(b"modlsubtensr") and not any(account[14:])


MECHANISMS = 4096  # a mechanism's number times this, plus the netuid, keys what each mechanism has of its own


def storage_index(netuid: int, mecid: int) -> int:
    """What keys Weights, Bonds, Incentive, LastUpdate and the commits of one mechanism; the netuid, for mechanism 0."""
    return min(mecid * MECHANISMS + netuid, 65535)


def mechanism_indexes(state: State, netuid: int) -> list[int]:
    """The storage indexes of all mechanisms of a subnet."""
    return [storage_index(netuid, mecid) for mecid in range(state.get(SubtensorModule.MechanismCountCurrent, netuid))]

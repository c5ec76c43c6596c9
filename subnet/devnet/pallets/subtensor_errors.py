"""Errors of SubtensorModule, in the order of subtensor's runtime of June 2026, and the codes its pool uses for them."""

from __future__ import annotations

from enum import IntEnum

Error = IntEnum(
    "Error",
    "RootNetworkDoesNotExist InvalidIpType InvalidIpAddress InvalidPort HotKeyNotRegisteredInSubNet "
    "HotKeyAccountNotExists HotKeyNotRegisteredInNetwork NonAssociatedColdKey NotEnoughStake "
    "NotEnoughStakeToWithdraw NotEnoughStakeToSetWeights NotEnoughStakeToSetChildkeys "
    "NotEnoughBalanceToStake BalanceWithdrawalError ZeroBalanceAfterWithdrawn NeuronNoValidatorPermit "
    "WeightVecNotEqualSize DuplicateUids UidVecContainInvalidOne WeightVecLengthIsLow "
    "TooManyRegistrationsThisBlock HotKeyAlreadyRegisteredInSubNet NewHotKeyIsSameWithOld "
    "NewHotKeyNotCleanForRootSwap InvalidWorkBlock InvalidDifficulty InvalidSeal MaxWeightExceeded "
    "HotKeyAlreadyDelegate SettingWeightsTooFast IncorrectWeightVersionKey ServingRateLimitExceeded "
    "UidsLengthExceedUidsInSubNet NetworkTxRateLimitExceeded DelegateTxRateLimitExceeded "
    "HotKeySetTxRateLimitExceeded StakingRateLimitExceeded SubNetRegistrationDisabled "
    "TooManyRegistrationsThisInterval TransactorAccountShouldBeHotKey FaucetDisabled NotSubnetOwner "
    "RegistrationNotPermittedOnRootSubnet StakeTooLowForRoot AllNetworksInImmunity "
    "NotEnoughBalanceToPaySwapHotKey NotRootSubnet CanNotSetRootNetworkWeights NoNeuronIdAvailable "
    "DelegateTakeTooLow DelegateTakeTooHigh NoWeightsCommitFound InvalidRevealCommitHashNotMatch "
    "CommitRevealEnabled CommitRevealDisabled LiquidAlphaDisabled AlphaHighTooLow AlphaLowOutOfRange "
    "ColdKeyAlreadyAssociated NotEnoughBalanceToPaySwapColdKey InvalidChild DuplicateChild "
    "ProportionOverflow TooManyChildren TxRateLimitExceeded ColdkeySwapAnnouncementNotFound "
    "ColdkeySwapTooEarly ColdkeySwapReannouncedTooEarly AnnouncedColdkeyHashDoesNotMatch "
    "ColdkeySwapAlreadyDisputed NewColdKeyIsHotkey InvalidChildkeyTake TxChildkeyTakeRateLimitExceeded "
    "InvalidIdentity MechanismDoesNotExist StakeUnavailable SubnetNotExists TooManyUnrevealedCommits "
    "ExpiredWeightCommit RevealTooEarly InputLengthsUnequal CommittingWeightsTooFast AmountTooLow "
    "InsufficientLiquidity SlippageTooHigh TransferDisallowed ActivityCutoffTooLow CallDisabled "
    "FirstEmissionBlockNumberAlreadySet NeedWaitingMoreBlocksToStarCall NotEnoughAlphaOutToRecycle "
    "CannotBurnOrRecycleOnRootSubnet UnableToRecoverPublicKey InvalidRecoveredPublicKey SubtokenDisabled "
    "HotKeySwapOnSubnetIntervalNotPassed SameNetuid InsufficientBalance InvalidLeaseBeneficiary "
    "LeaseCannotEndInThePast LeaseNetuidNotFound LeaseDoesNotExist LeaseHasNoEndBlock LeaseHasNotEnded "
    "Overflow BeneficiaryDoesNotOwnHotkey ExpectedBeneficiaryOrigin "
    "AdminActionProhibitedDuringWeightsWindow SymbolDoesNotExist SymbolAlreadyInUse "
    "IncorrectCommitRevealVersion InvalidRevealRound RevealPeriodTooLarge RevealPeriodTooSmall "
    "InvalidValue SubnetLimitReached CannotAffordLockCost EvmKeyAssociateRateLimitExceeded "
    "SameAutoStakeHotkeyAlreadySet UidMapCouldNotBeCleared TrimmingWouldExceedMaxImmunePercentage "
    "ChildParentInconsistency InvalidNumRootClaim InvalidRootClaimThreshold InvalidSubnetNumber "
    "TooManyUIDsPerMechanism VotingPowerTrackingNotEnabled InvalidVotingPowerEmaAlpha Deprecated "
    "AddStakeBurnRateLimitExceeded ColdkeySwapAnnounced ColdkeySwapDisputed ColdkeySwapClearTooEarly "
    "DisabledTemporarily RegistrationPriceLimitExceeded LockHotkeyMismatch InsufficientStakeForLock "
    "NoExistingLock ActiveLockExists CannotUseSystemAccount UnlockAmountTooHigh TempoOutOfBounds "
    "ActivityCutoffFactorMilliOutOfBounds EpochTriggerAlreadyPending AutoEpochAlreadyImminent "
    "DynamicTempoBlockedByCommitReveal AccountRejectsLockedAlpha",
    start=0,
)

BAD_REQUEST = 255
POOL_CODES: dict[Error, int] = {
    Error.AmountTooLow: 1,
    Error.NotEnoughStakeToSetWeights: 1,
    Error.NotEnoughBalanceToStake: 2,
    Error.SubnetNotExists: 3,
    Error.HotKeyAccountNotExists: 4,
    Error.NotEnoughStakeToWithdraw: 5,
    Error.CommittingWeightsTooFast: 6,
    Error.SettingWeightsTooFast: 6,
    Error.NetworkTxRateLimitExceeded: 6,
    Error.InsufficientLiquidity: 7,
    Error.SlippageTooHigh: 8,
    Error.TransferDisallowed: 9,
    Error.HotKeyNotRegisteredInNetwork: 10,
    Error.InvalidIpAddress: 11,
    Error.ServingRateLimitExceeded: 12,
    Error.InvalidPort: 13,
    Error.InvalidRevealRound: 15,
    Error.NoWeightsCommitFound: 16,
    Error.RevealTooEarly: 17,
    Error.InputLengthsUnequal: 18,
    Error.HotKeyNotRegisteredInSubNet: 19,
    Error.NonAssociatedColdKey: 25,
    Error.DelegateTakeTooLow: 26,
    Error.DelegateTakeTooHigh: 27,
}
"""``Custom error: N`` of a pool's rejection; what is not listed is 255."""

"""SCALE types that the runtime APIs share: the runtime's newtypes, and arguments' annotations.

The pallets' storage has the newtypes as what they hold; clients of the APIs are told their names.
"""

from __future__ import annotations

from typing import Annotated

from subnet.devnet.scale import ACCOUNT, I64, U8, U16, U32, U64, Compact, Named, Struct, Vec

NET_UID = Named("subtensor_runtime_common::NetUid", U16)
MECH_ID = Named("subtensor_runtime_common::MechId", U8)
TAO = Named("subtensor_runtime_common::currency::TaoBalance", U64)
ALPHA = Named("subtensor_runtime_common::currency::AlphaBalance", U64)
FIXED_I64 = Struct("substrate_fixed::FixedI64", bits=I64)

C_U8, C_U16, C_U32, C_U64 = (Compact(inner) for inner in (U8, U16, U32, U64))
C_NET_UID, C_TAO, C_ALPHA = Compact(NET_UID), Compact(TAO), Compact(ALPHA)

net_uid = Annotated[int, NET_UID]
mech_id = Annotated[int, MECH_ID]
tao_balance = Annotated[int, TAO]
alpha_balance = Annotated[int, ALPHA]
accounts = Annotated[list[bytes], Vec(ACCOUNT)]

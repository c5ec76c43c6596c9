// What a user of @polkadot/api does, against a local chain; prints what was seen as one JSON object.
// node session.mjs ws://...

import { ApiPromise, Keyring, WsProvider } from "@polkadot/api";

const [url] = process.argv.slice(2);
const seen = { heads: [] };

const provider = new WsProvider(url, false);
await provider.connect();
const api = await ApiPromise.create({ provider, throwOnConnect: true });
seen.chain = (await api.rpc.system.chain()).toString();
seen.spec = api.runtimeVersion.specVersion.toNumber();
seen.genesis = api.genesisHash.toHex();
seen.apis = Object.keys(api.call);

const keyring = new Keyring({ type: "sr25519", ss58Format: 42 });
const alice = keyring.addFromUri("//Alice");
const ed = new Keyring({ type: "ed25519", ss58Format: 42 }).addFromUri("//Dora");
const free = async (address) => (await api.query.system.account(address)).data.free.toBigInt();

const heads = new Promise((resolve, reject) => {
  api.rpc.chain
    .subscribeNewHeads((header) => {
      seen.heads.push(header.number.toNumber());
      if (seen.heads.length === 3) resolve();
    })
    .catch(reject);
});

function send(call, key) {
  return new Promise((resolve, reject) => {
    call
      .signAndSend(key, ({ status, events, dispatchError }) => {
        if (dispatchError) reject(new Error(dispatchError.toString()));
        else if (status.isFinalized) resolve(events.map(({ event }) => `${event.section}.${event.method}`));
        else if (status.isInvalid || status.isDropped) reject(new Error(status.type));
      })
      .catch(reject);
  });
}

const transfer = api.tx.balances.transferKeepAlive(ed.address, 5_000_000_000n);
seen.fee = (await transfer.paymentInfo(alice)).partialFee.toString();
const before = await free(alice.address);
seen.events = await send(transfer, alice);
seen.spent = (before - (await free(alice.address))).toString();
seen.received = (await free(ed.address)).toString();
seen.second = await send(api.tx.system.remarkWithEvent("0x1234"), ed); // signed with ed25519

seen.subnets = (await api.query.subtensorModule.networksAdded.entries()).map(([key]) => key.args[0].toNumber());
seen.tempo = (await api.query.subtensorModule.tempo(0)).toNumber();
const at = await api.at(api.genesisHash);
seen.aliceAtGenesis = (await at.query.system.account(alice.address)).data.free.toString();
seen.constant = api.consts.balances.existentialDeposit.toString();
if (api.call.subnetInfoRuntimeApi) {
  const graph = (await api.call.subnetInfoRuntimeApi.getMetagraph(0)).unwrap();
  seen.metagraph = { netuid: graph.netuid.toNumber(), tempo: graph.tempo.toNumber() };
}
seen.nonce = (await api.rpc.system.accountNextIndex(alice.address)).toNumber();
try {
  await send(api.tx.balances.transferKeepAlive(ed.address, 10n ** 19n - 1n), alice);
} catch (error) {
  seen.refused = error.message;
}
await heads;
await api.disconnect();
console.log(JSON.stringify(seen));

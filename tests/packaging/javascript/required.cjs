// A CommonJS program has the one copy of the client that ES modules have, and its sockets.
const { SyncKairos } = require("synckairos");

(async () => {
  const isSame = (await import("synckairos")).SyncKairos === SyncKairos;
  const client = new SyncKairos({ url: process.argv[2] });
  const participants = [1, 2].map((n) => ({ participant_id: `aaaaaaaa-0000-4000-8000-00000000000${n}` }));
  const { session_id: id } = await client.create({ preset: "blitz", participants });
  const session = client.session(id);
  await session.ready;
  await session.start();
  await session.switch();
  const { version } = session.state;
  client.close();
  console.log(JSON.stringify({ isSame, version }));
})();

// Plays a game without a socket, as the oldest Node.js can. Argument: the service's URL.
import { SyncKairos } from "synckairos";

const client = new SyncKairos({ url: process.argv[2] });
const participants = [1, 2].map((n) => ({ participant_id: `aaaaaaaa-0000-4000-8000-00000000000${n}` }));
const { session_id: id } = await client.create({ preset: "blitz", participants });
const game = client.handle(id);
await game.start();
await game.switch();
await game.complete();
let refused = null;
try {
  client.session(id).close();
} catch (error) {
  refused = error.code;
}
console.log(JSON.stringify({ status: (await game.get()).status, refused }));

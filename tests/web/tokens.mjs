// Plays a game with a real service while its tokens end one after the other. Arguments: the service's URL, its
// secret. Input: a config. Output: the versions of the events, how the connection changed, and the tokens.
import { createHmac, randomUUID } from "node:crypto";
import { text } from "node:stream/consumers";
import { SyncKairos } from "../../synckairos/web/synckairos.js";

const [url, secret] = process.argv.slice(2);
const GOOD_FOR_S = 1.5;

const tokens = [];

function token() {
  const encoded = [{ alg: "HS256" }, { sub: "anna", tenant: "club", roles: ["service"], jti: randomUUID(),
    exp: Date.now() / 1000 + GOOD_FOR_S }].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"));
  const signature = createHmac("sha256", secret).update(encoded.join(".")).digest("base64url");
  tokens.push(`${encoded.join(".")}.${signature}`);
  return tokens.at(-1);
}

const client = new SyncKairos({ url, token });
const { session_id: id } = await client.create(JSON.parse(await text(process.stdin)));
const session = client.session(id);
await session.ready;
await session.start();
const found = { first: session.state.version, versions: [], connections: [], errors: [] };
session.onChange((_, change) => change && found.versions.push(change.version));
session.onConnection((connection) => found.connections.push(connection));
session.onError(({ code, message }) => found.errors.push(`${code} ${message}`));
const before = tokens.length;
while (tokens.length < before + 3) {
  await session.switch();
  await new Promise((resolve) => { setTimeout(resolve, 100); });
}
found.last = await session.switch();
process.stdout.write(JSON.stringify(found));
client.close();

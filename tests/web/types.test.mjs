// The type declarations have exactly the members of the modules.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import * as client from "../../synckairos/web/synckairos.js";
import { ID, World } from "./world.mjs";

const types = await readFile(new URL("../../synckairos/web/synckairos.d.ts", import.meta.url), "utf8");

/** Members that only other parts of the module use. */
const INTERNAL = {
  Session: ["wake", "ping", "trySend", "reportError"],
  SyncKairos: ["isClosed", "canRenewToken", "token", "socketUrl", "adopt", "forget", "reconnectAttempts"],
  ServerTime: ["start", "stop", "burst", "pong"],
};

/** The names of the members that a type declares. */
function declared(name) {
  const [, body] = types.match(new RegExp(`\\n(?:export )?(?:class|interface) ${name}(?: extends \\w+)? \\{\\n(.*?)\\n\\}`, "s"));
  return [...body.matchAll(/^ {2}(?:static )?(?:readonly )?(\w+)\??[(:]/gm)].map(([, member]) => member)
    .filter((member) => member !== "constructor");
}

/** The names of the members that an object has. */
function actual(object) {
  const own = Object.getOwnPropertyNames(Object.getPrototypeOf(object)).concat(Object.keys(object));
  return own.filter((name) => name !== "constructor");
}

const same = (one, other) => assert.deepEqual([...new Set(one)].sort(), [...new Set(other)].sort());

function agrees(name, object) {
  same(declared(name), actual(object).filter((member) => !INTERNAL[name]?.includes(member)));
}

test("everything that is exported is declared", () => {
  const values = [...types.matchAll(/^export (?:class|function) (\w+)/gm)].map(([, name]) => name);
  same(values, Object.keys(client));
});

test("client, session and time have the members that are declared", () => {
  const made = new World().client();
  agrees("SyncKairos", made);
  agrees("Session", made.session(ID));
  agrees("Handle", made.handle(ID));
  same(declared("Calls"), actual(Object.getPrototypeOf(made.handle(ID))));
  agrees("ServerTime", made.time);
});

test("clock filter and slewed clock have the members that are declared", () => {
  for (const name of ["ClockFilter", "SlewedClock"]) {
    const kind = client[name];
    const statics = Object.keys(kind);
    same(declared(name), [...actual(new kind()), ...statics]);
  }
});

test("state, participant and clock face have the fields that are declared", async () => {
  const world = new World();
  const session = world.client().session(ID);
  await world.pass(500);
  same(declared("State"), Object.keys(session.state));
  const [participant] = session.state.participants;
  same([...declared("Owner"), ...declared("Participant")], Object.keys(participant));
  same(declared("ClockFace"), Object.keys(session.clock(participant.participant_id)));
});

test("errors have the fields and methods that are declared", () => {
  const error = new client.SyncKairosError("CLOSED", "over");
  const own = Object.getOwnPropertyNames(error).filter((name) => !["stack", "message"].includes(name));
  const methods = Object.getOwnPropertyNames(client.SyncKairosError.prototype);
  same(declared("SyncKairosError"), [...own, ...methods.filter((name) => name !== "constructor")]);
});

test("state that the tests play with has the fields that the service's has", async () => {
  const page = await readFile(new URL("../../lua/README.md", import.meta.url), "utf8");
  const [, section] = page.match(/\n## State\n(.*?)\nAn entry of/s);
  const rows = [...section.matchAll(/^\| ([^|]+) \|/gm)].slice(2).map(([, names]) => names);
  const names = rows.flatMap((row) => [...row.matchAll(/`(\w+)`/g)].map(([, name]) => name));
  same(names.filter((name) => name !== "internal"), declared("State"));
});

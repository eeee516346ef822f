// What the service says of fields, in the words of the user: in every language, and never in milliseconds.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { LANGUAGES } from "../../synckairos/web/console/shared/languages.js";
import { faultText, faultsText } from "../../synckairos/web/console/shared/faults.js";

const SHARED = new URL("../../synckairos/web/console/shared/", import.meta.url);
const DAY = 86_400_000;
const at = (position, what) => ["time_control", `cannot be read at position ${position}: ${what}`];

/** Messages of the service as a form can get them: one at least for each line of the table. */
const MESSAGES = [
  ["total_time_ms", "is required in per_participant"],
  ["group_id", "is required: in this mode each participant belongs to a group"],
  ["starts_at_ms", "must be ahead: the server time is 1796090377962"],
  ["starts_at_ms", "must be at most 366 days ahead"],
  ["starts_at_ms", "must be an integer from 0 to 9007199254740991"],
  ["ends_at_ms", "must be after starts_at_ms"],
  ["ends_at_ms", "must be after the start, 1796090377962"],
  ["starts_at_ms", "must be before the end, 1796090377962"],
  ["total_time_ms", `must be an integer from 1000 to ${DAY}`],
  ["total_time_ms", `must be an integer from 1000 to ${DAY}: nothing comes after a bank of 0`],
  ["warnings_ms.1", `must be 0 or an integer from 1000 to ${DAY}`],
  ["max_cycles", "must be an integer from 1 to 100000"],
  ["add_ms", `must be -${DAY} to ${DAY} milliseconds`],
  ["turns", "must be a whole number from 1 to 16"],
  ["participants", "must be 1 to 1000"],
  ["groups", "must be at most 1000"],
  ["participants.0.name", "must be a text of 1 to 200 characters, one of them visible"],
  ["reason", "must be 1 to 200 characters"],
  ["metadata", "must be at most 10240 bytes of compact JSON"],
  ["participants", "have names of which the metadata becomes 12000 bytes long, and it may have 10240: give shorter ones, or ids to some"],
  ["metadata", "must have at most 50 keys"],
  ["tag", "must be 1 to 64 letters, digits, -, _ and ., with a letter or a digit among them"],
  ["participants.1.participant_id", "is there twice"],
  ["participant_index", "is taken"],
  ["active_participant_id", "is none of participants"],
  ["total_time_ms", "must be left out, or the 300000 of its time_control"],
  ["time_control", "has no effect in this mode"],
  ["title", "is unknown; did you mean titles?"],
  ["title", "has half a surrogate pair"],
  ["preset", "correspondence needs a service with LONG_CLOCKS=true"],
  at(4, '"x", "/" or the end expected'),
  at(2, '"+", ",", ";", "d" or the end expected'),
  at(1, "hourglass, minutes, moves, periods, a time, a number, decimals or seconds expected"),
  at(4, "whole seconds expected"),
  at(4, "a whole number expected"),
  at(4, "a number of at most 12 characters expected"),
  at(4, "no more than 8 stages expected"),
  at(257, "a text of at most 256 characters expected"),
  at(4, "two meanings: 10 minutes and 2.5 seconds, or 10 seconds and 2.5 seconds; whole seconds after minutes expected"),
  at(4, 'two meanings: 10 minutes and 2.5 seconds, or 10 seconds and 2.5 seconds; "pgn 600+2.5" or "pgn 10+2.5" expected'),
  at(4, 'two meanings: 10 minutes and 2.5 seconds, or 10 seconds and 2.5 seconds; "pgn" in front of seconds, or whole seconds after minutes expected'),
  at(4, 'two meanings: 40 moves in 2 minutes, or in 2 hours; "pgn" and seconds, or "40/120" expected'),
  at(4, "two meanings: 30 moves in 30 seconds, or 30 moves in 30 minutes; at least 2 seconds a move expected"),
  at(5, 'two meanings: 30 moves in 30 seconds, or 30 moves in 30 minutes, or 30 more minutes with 30 seconds a move; "10+30/1800" or "40/10:30+30" expected'),
  at(3, `increment_ms must be an integer from 0 to ${DAY}`),
  at(1, "bank must be 0 or a time from 1 second to 24 hours"),
  at(1, "bank must be a time from 1 second to 366 days: nothing comes after a bank of 0"),
];
/** Words of the service's messages that no other language has. */
const ENGLISH = /\b(?:must|the|from|expected|cannot|meanings|moves|seconds|server|needs)\b/;

function inLanguage(code) {
  const source = `
    const { parentPort, workerData } = require("node:worker_threads");
    globalThis.localStorage = { getItem: () => workerData.code };
    import(workerData.module).then(({ faultText }) =>
      parentPort.postMessage(workerData.messages.map(([path, message]) => faultText(path, message))));`;
  const workerData = { code, messages: MESSAGES, module: fileURLToPath(new URL("faults.js", SHARED)) };
  return new Promise((resolve, reject) => {
    const worker = new Worker(source, { eval: true, workerData });
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

test("every message is said in every language, without milliseconds and the service's words", async () => {
  for (const code of Object.keys(LANGUAGES)) {
    const said = await inLanguage(code);
    for (const [place, text] of said.entries()) {
      const [, message] = MESSAGES[place];
      const context = `${code}: ${message} → ${text}`;
      assert.ok(text && (code === "en" || text !== message) && !/fault\.|\{\w+\}|_ms\b|\d{7}/.test(text), context);
      if (code !== "en") assert.doesNotMatch(text.replace(/"[^"]*"/g, ""), ENGLISH, context);
    }
  }
});

test("times are times, moments are moments, and other numbers numbers", () => {
  assert.equal(faultText("total_time_ms", `must be an integer from 1000 to ${DAY}`), "must be from 1 s to 1 day");
  assert.equal(faultText("max_cycles", "must be an integer from 1 to 100000"), "must be from 1 to 100,000");
  assert.match(faultText("starts_at_ms", "must be ahead: the server time is 1796090377962"), /^must be ahead: it is \w+ \d+, 2026.* [AP]M now$/);
});

test("a time control that cannot be read is told with its place, what is expected and what it may mean", () => {
  assert.equal(faultText(...at(4, '"x", "/" or the end expected')), 'cannot be read at position 4: "x", "/", or the end expected');
  assert.equal(
    faultText(...at(4, 'two meanings: 40 moves in 2 minutes, or in 2 hours; "pgn" and seconds, or "40/120" expected')),
    'cannot be read at position 4: this may be 40 moves in 2 min or 40 moves in 2 h; write "pgn" … or "40/120"',
  );
  assert.equal(
    faultText(...at(5, '"+", ",", ";" or the end expected')),
    'cannot be read at position 5: "+", ",", ";", or the end expected',
  );
});

test("another message is shown as it came, and several with the names of their fields", () => {
  assert.equal(faultText("x", "must be something new"), "must be something new");
  assert.equal(faultsText([{ field: "x", message: "is taken" }, { field: "", message: "must be a JSON object" }]), "x: is there already; must be a JSON object");
});

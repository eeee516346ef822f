// The caret under the place at which a time control cannot be read.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SyncKairosError, drawCaret } from "../../synckairos/web/synckairos.js";

const message = (position) => `cannot be read at position ${position}: x expected`;

test("the caret is under the place", () => {
  assert.equal(drawCaret("5+", message(3)), "5+\n  ^ x expected");
  assert.equal(drawCaret("", message(1)), "\n^ x expected");
});

test("positions count characters, and what does not print takes one place", () => {
  assert.equal(drawCaret("½é", message(2)), "½é\n ^ x expected");
  assert.equal(drawCaret("\u{1f600}5\n", message(2)), "\u{1f600}5?\n ^ x expected");
});

test("of a long text the part around the place is shown", () => {
  const [line, caret] = drawCaret("9".repeat(300), message(257)).split("\n");
  assert.equal(line, `…${"9".repeat(104)}`);
  assert.equal(caret.indexOf("^"), 61);
  assert.equal(drawCaret("1".repeat(90), message(1)).split("\n")[0], `${"1".repeat(60)}…`);
});

test("without a text or a place there is none", () => {
  assert.equal(drawCaret(null, message(1)), null);
  assert.equal(drawCaret("5+3", "must be text"), null);
});

test("an error draws the texts of the config that it is about", () => {
  const fields = ["time_control", "groups.0.time_control", "participants.1.time_control", "participants.9", "a.b"];
  const details = fields.map((field) => ({ field, message: message(2) }));
  const error = new SyncKairosError("VALIDATION_ERROR", "no", { details });
  const config = {
    time_control: { notation: "5!" },
    groups: [{ time_control: "6!" }],
    participants: [{}, { time_control: "7!" }],
    a: 5,
  };
  assert.deepEqual(error.carets(config), ["5!\n ^ x expected", "6!\n ^ x expected", "7!\n ^ x expected"]);
  assert.deepEqual(error.carets({}), []);
});

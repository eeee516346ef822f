// Every text of the console stands in its file of texts, in every language, and no source has one of its own.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { LANGUAGES } from "../../synckairos/web/console/shared/i18n.js";
import { literals } from "./literals.mjs";

const CONSOLE = fileURLToPath(new URL("../../synckairos/web/console/", import.meta.url));
const files = readdirSync(CONSOLE, { recursive: true, withFileTypes: true })
  .filter((each) => each.isFile())
  .map((each) => join(each.parentPath ?? each.path, each.name))
  .filter((path) => !path.includes("/texts/"));
const named = (ending) => files.filter((path) => path.endsWith(ending)).map((path) => [path, readFileSync(path, "utf8")]);
const sources = named(".js").map(([path, source]) => [path.slice(CONSOLE.length), literals(source)]);
const pages = named(".html");
const texts = Object.fromEntries(
  await Promise.all(
    Object.keys(LANGUAGES).map(async (code) => [code, (await import(`${CONSOLE}texts/${code}.js`)).default]),
  ),
);
const ENGLISH = texts.en;

/** Words that are no texts: names, addresses, and what machines read, wherever they stand. */
const NO_TEXTS = new Set(["SyncKairos", "check_or_fold", "notify"]);
/** Values of the service, such as `end_session`. */
const VALUE = /^[a-z]+_[a-z_]+$/;
const WORDS = /\p{L}{2}/u;
/** A sentence, or the beginning of one, wherever it stands. */
const SENTENCE = /^\p{Lu}\p{Ll}+(?: [\p{Ll}\d’'“]+)+|\p{Ll}{2,} \p{Ll}+ \p{Ll}+.*[.!?…]$/u;
const MARKUP = /^[ \p{Ll}\d_:;,.#()[\]="'*>~@/%-]*$/u; // classes, selectors, paths

const withoutValues = (text) => text.replaceAll("${…}", "");

/** The literals that a user would read in English, whatever the language is. */
function untranslated(found) {
  return found.filter(({ text, isText, callee }) => {
    const words = withoutValues(text);
    if (NO_TEXTS.has(words.trim()) || VALUE.test(words)) return false;
    if (isText) return WORDS.test(words) && !Object.hasOwn(ENGLISH, text);
    return SENTENCE.test(words) && !MARKUP.test(words) && !["Error", "TypeError", "RangeError"].includes(callee);
  });
}

test("no source has a text of its own", () => {
  const wrong = sources.flatMap(([path, found]) => untranslated(found).map((each) => `${path}:${each.line}: ${each.text}`));
  assert.deepEqual(wrong, []);
});

test("a text in a source would be found, wherever it stands", () => {
  const planted = [
    'h("p", { class: "muted small" }, "Planted")',
    'h("p", {}, isOver(state) ? "planted" : t("view.board"))',
    'h("p", {}, [state.status === "running" && `planted ${count} words`])',
    'fill(list, h("li", {}, h("span", {}, "planted")))',
    'button("Planted", { icon: "cross" })',
    'toast("planted words", { kind: "error" })',
    "setText(line, `Planted ${number}`)",
    'h("input", { placeholder: "planted", class: "input" })',
    'h("section", { "aria-label": "Planted" })',
    'control.setAttribute("aria-label", "Planted")',
    'control.title = over ? "Planted" : ""',
    'openDialog({ title: "Planted", body: [] })',
    'const WORDS = { live: "Planted words here" };',
    'const text = "Planted words. " + rest;',
    'item(/[/"]/.test(id) ? "Planted" : t("view.board"), "next")',
  ];
  for (const source of planted) {
    const found = untranslated(literals(`const before = /a"b/;\n// It's a "comment".\n${source}\n`));
    assert.equal(found.length, 1, source);
    assert.match(found[0].text, /planted/i);
    assert.equal(found[0].line, 3);
  }
  const fine = [
    'h("p", { class: "muted small" }, t("view.board"), " · ", state.status === "running" && t("view.clock"))',
    'button(t("view.board"), { icon: "cross", class: "quiet" })',
    'if (names["planted words"]) fill(element, icon("next"))',
    'throw new Error("Planted words for developers")',
    'element.closest("button:not(.press), a, summary")',
  ];
  for (const source of fine) assert.deepEqual(untranslated(literals(source)), [], source);
});

test("every text that is asked for is there, and every text is asked for", () => {
  const used = new Set();
  const made = [];
  for (const [path, found] of sources) {
    for (const { text, callee, argument, line } of found) {
      if (["t", "parts", "has"].includes(callee) && argument === 0 && /^[a-z][\w-]*\.\S+$/i.test(text) && !text.includes("${…}"))
        assert.ok(Object.hasOwn(ENGLISH, text), `${path}:${line}: no text "${text}"`);
      if (/^[a-z]+\.(?:\w+\.)?\w*\$\{…\}/i.test(text)) made.push(text.split("${…}").map((each) => RegExp.escape?.(each) ?? each.replaceAll(".", "\\.")).join(".+"));
      used.add(text);
    }
  }
  for (const [path, page] of pages) {
    for (const [, key] of page.matchAll(/data-t(?:-[a-z]+)?="([^"]+)"/g)) {
      assert.ok(Object.hasOwn(ENGLISH, key), `${path}: no text "${key}"`);
      used.add(key);
    }
  }
  const patterns = made.map((each) => new RegExp(`^${each}$`));
  const unused = Object.keys(ENGLISH).filter((key) => !used.has(key) && !patterns.some((each) => each.test(key)));
  assert.deepEqual(unused, []);
});

test("what a page says before its script runs is what the English file says", () => {
  const plain = (text) => text.replaceAll("&amp;", "&").trim();
  for (const [path, page] of pages) {
    for (const [, key, text] of page.matchAll(/data-t="([^"]+)"[^>]*>([^<]*)</g)) assert.equal(plain(text), ENGLISH[key], path);
    for (const [tag, key] of page.matchAll(/<[^>]*data-t-label="([^"]+)"[^>]*>/g))
      assert.ok(tag.includes(`aria-label="${ENGLISH[key]}"`), `${path}: ${key}`);
    const unmarked = [...page.matchAll(/<(?!title|style|script|noscript|code)(\w+)((?:\s[^>]*)?)>([^<]*\p{L}{2}[^<]*)</gu)]
      .filter(([, , attributes, text]) => !attributes.includes("data-t=") && !NO_TEXTS.has(text.trim()))
      .filter(({ index }) => page.lastIndexOf("<noscript", index) <= page.lastIndexOf("</noscript", index));
    assert.deepEqual(unmarked.map(([whole]) => whole), [], path);
  }
});

const placeholders = (text) => [...new Set([...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name))].sort();
const forms = (entry) => (typeof entry === "string" ? [entry] : Object.values(entry));

test("every language has every text, with its values and its plural forms", () => {
  for (const [code, own] of Object.entries(texts)) {
    assert.deepEqual(Object.keys(own).sort(), Object.keys(ENGLISH).sort());
    const plurals = new Intl.PluralRules(code);
    const categories = [...new Set(Array.from({ length: 1000 }, (_, count) => plurals.select(count)))].sort();
    for (const [key, english] of Object.entries(ENGLISH)) {
      const entry = own[key];
      assert.equal(typeof entry, typeof english, key);
      const wanted = placeholders(forms(english).join(" "));
      if (typeof entry === "object") {
        assert.deepEqual(Object.keys(entry).sort(), categories, key);
        // "One move" may do without the number, and Arabic says two without it.
        for (const text of forms(entry))
          assert.deepEqual(
            placeholders(text).filter((name) => name !== "count" && name !== "number"),
            wanted.filter((name) => name !== "count" && name !== "number"),
            key,
          );
        assert.ok(!wanted.includes("count") || placeholders(entry.other).includes("count"), key);
      } else assert.deepEqual(placeholders(entry), wanted, key);
      for (const text of forms(entry)) assert.ok(text.trim() === text && text !== "" && !/\s\s/.test(text), `${key}: ${text}`);
    }
  }
});

/** What a module of the console makes of values in another language. Each language needs modules of its own. */
function inLanguage(code, work, values) {
  const source = `
    const { parentPort, workerData } = require("node:worker_threads");
    globalThis.localStorage = { getItem: () => workerData.code };
    (async () => {
      const time = await import(workerData.root + "shared/time.js");
      const i18n = await import(workerData.root + "shared/i18n.js");
      parentPort.postMessage((${work})({ ...time, ...i18n }, workerData.values));
    })();`;
  return new Promise((resolve, reject) => {
    const worker = new Worker(source, { eval: true, workerData: { code, values, root: `file://${CONSOLE}` } });
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

test("a duration that is written in any language is read again to the same milliseconds", async () => {
  for (const code of Object.keys(LANGUAGES)) {
    const units = [1, 7, 250, 999, 1000, 1500, 59_999, 60_000, 61_001, 3_599_999, 3_600_000, 86_399_999, 86_400_000];
    const durations = [0, ...units, ...units.map((each) => -each), 2 * 86_400_000, 3 * 86_400_000 + 1, 366 * 86_400_000];
    let seed = 7;
    for (let each = 0; each < 3000; each += 1) {
      seed = (seed * 48_271) % 2_147_483_647;
      durations.push(seed % 10 ** (1 + (each % 10)));
    }
    const said = await inLanguage(
      code,
      ({ formatDuration, parseDuration, spokenDuration, language }, values) => ({
        language,
        wrong: values.map((ms) => [ms, formatDuration(ms), parseDuration(formatDuration(ms))]).filter(([ms, , read]) => read !== ms),
        universal: ["5", "5:00", "1:30:00", "90 s", "1h 30m", "1,5 min", "-30s", "+1:00", "٥:٠٠", "５:00", "2 d"].map((text) => parseDuration(text)),
        spoken: [1000, 7_000, 61_000, 90_000_000].map((ms) => spokenDuration(ms)).map((text) => [text, parseDuration(text)]),
      }),
      durations,
    );
    assert.equal(said.language, code);
    assert.deepEqual(said.wrong, []);
    assert.deepEqual(said.universal, [300_000, 300_000, 5_400_000, 90_000, 5_400_000, 90_000, -30_000, 60_000, 300_000, 300_000, 172_800_000]);
    for (const [text] of said.spoken) assert.match(text, /^[^\d]*\d|\p{L}/u);
  }
});

// Compiles the components of the page for React, Vue and Svelte, and taps each of them once in a document.
// Argument: the service's URL. The components are Clock.jsx, Clock.vue and Clock.svelte in this folder.
import { build } from "esbuild";
import { Window } from "happy-dom";
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { compile } from "svelte/compiler";
import { compileScript, parse } from "vue/compiler-sfc";

const url = process.argv[2];
const warnings = [];
const components = {
  name: "components",
  setup({ onLoad }) {
    onLoad({ filter: /\.vue$/ }, async ({ path }) => {
      const { descriptor, errors } = parse(await readFile(path, "utf8"), { filename: path });
      warnings.push(...errors.map(String));
      return { contents: compileScript(descriptor, { id: "clock", inlineTemplate: true }).content, loader: "js" };
    });
    onLoad({ filter: /\.svelte$/ }, async ({ path }) => {
      const made = compile(await readFile(path, "utf8"), { filename: path, generate: "client" });
      warnings.push(...made.warnings.map((each) => each.message));
      return { contents: made.js.code, loader: "js" };
    });
  },
};
const entry = `
  import { createElement } from "react";
  import { createRoot } from "react-dom/client";
  import { mount, unmount } from "svelte";
  import { createApp } from "vue";
  import { Clock as OfReact } from "./Clock.jsx";
  import OfSvelte from "./Clock.svelte";
  import OfVue from "./Clock.vue";
  export { SyncKairos } from "synckairos";

  export const shown = {
    react(target, { id, player }) {
      const root = createRoot(target);
      root.render(createElement(OfReact, { sessionId: id, playerId: player }));
      return () => root.unmount();
    },
    vue(target, props) {
      const app = createApp(OfVue, props);
      app.mount(target);
      return () => app.unmount();
    },
    svelte(target, props) {
      const made = mount(OfSvelte, { target, props });
      return () => unmount(made);
    },
  };`;
const { warnings: ofBuild } = await build({
  stdin: { contents: entry, resolveDir: "." }, outfile: "made/frameworks.mjs", bundle: true, format: "esm",
  platform: "browser", jsx: "automatic", plugins: [components], logLevel: "silent",
  define: { __VUE_OPTIONS_API__: "true", __VUE_PROD_DEVTOOLS__: "false", __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false" },
});
warnings.push(...ofBuild.map((each) => each.text));

// A document for the frameworks. Sockets and requests stay those of Node.js.
const window = new Window({ url });
for (const name of Object.getOwnPropertyNames(window)) {
  if (!(name in globalThis) && name !== "window") {
    globalThis[name] = window[name];
  }
}
globalThis.window = window;
const { SyncKairos, shown } = await import(pathToFileURL("made/frameworks.mjs").href);

async function until(condition, what) {
  for (const end = Date.now() + 15_000; !(await condition());) {
    if (Date.now() > end) {
      throw new Error(`waited in vain for ${what}`);
    }
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

const client = new SyncKairos({ url });
const played = [];
for (const [name, show] of Object.entries(shown)) {
  const players = ["aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"];
  const { session_id: id } = await client.create({
    sync_mode: "per_participant",
    participants: players.map((participant_id) => ({ participant_id, total_time_ms: 60_000 })),
  });
  const game = client.handle(id);
  await game.start();
  const target = window.document.body.appendChild(window.document.createElement("div"));
  const gone = show(target, { client, id, player: players[0] });
  const text = () => target.querySelector("button")?.textContent.trim() ?? "";
  await until(() => /^(59|5\d)\.\d$/.test(text()), `the clock of ${name}, which shows "${text()}"`);
  target.querySelector("button").click();
  await until(async () => (await game.get()).active_participant_id === players[1], `the switch of ${name}`);
  const [{ time_remaining_ms: left }] = (await game.get()).participants;
  await until(() => text() === (left / 1000).toFixed(1), `the time that is left in ${name}, which shows "${text()}"`);
  gone();
  await until(() => target.textContent.trim() === "", `the end of ${name}`);
  played.push(name);
}
console.log(JSON.stringify({ played, warnings }));
process.exit();

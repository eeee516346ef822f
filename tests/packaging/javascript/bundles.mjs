// Bundles the package with esbuild in several ways. Prints what each bundle is and does.
import { build } from "esbuild";
import { mkdir, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

async function bundled(name, code, options = {}) {
  await mkdir("made", { recursive: true });
  await writeFile(`made/${name}.js`, code);
  const outfile = `made/${name}.${options.format === "cjs" ? "cjs" : "mjs"}`;
  const { outputFiles: [{ text }], warnings } = await build({
    entryPoints: [`made/${name}.js`], outfile, bundle: true, write: false, format: "esm", platform: "browser",
    minify: true, logLevel: "silent", ...options,
  });
  await writeFile(outfile, text);
  return { text, file: pathToFileURL(outfile).href, warnings: warnings.map((each) => each.text) };
}

const WITHOUT_URL = `import { SyncKairos } from "synckairos";
  export let code = null, url = null;
  try {
    const client = new SyncKairos({ fetch: async (asked) => { url = String(asked); throw new Error("no network"); } });
    client.request("GET", "/v1/time").catch(() => {});
    await null;
  } catch (error) { code = error.code; }`;

const few = await bundled("few", 'import { clockText } from "synckairos"; console.log(clockText(1000));');
const both = await bundled("both", `import { SyncKairos, clockText } from "synckairos";
  import { useSyncKairos } from "synckairos/react"; console.log(SyncKairos, clockText, useSyncKairos);`, { external: ["react"] });
const page = await bundled("page", WITHOUT_URL);
const { code } = await import(page.file);
const classic = await bundled("classic", WITHOUT_URL.replace("await null;", ""), { format: "cjs" });
const { code: classicCode } = (await import(classic.file)).default;

// As if it came from these addresses.
const origins = {};
for (const from of ["https://clock.example/sub/synckairos.js", "http://127.0.0.1:8080/synckairos.4f2a91.js",
  "https://game.example/assets/index-4f2a91.js", "http://127.0.0.1:5173/node_modules/.vite/deps/synckairos.js?v=1",
  "file:///srv/game/synckairos.js"]) {
  const made = await bundled(`from${Object.keys(origins).length}`, WITHOUT_URL, { define: { "import.meta.url": JSON.stringify(from) } });
  const found = await import(made.file);
  origins[from] = found.code ?? found.url;
}
console.log(JSON.stringify({
  few: { size: few.text.length, hasSocket: few.text.includes("WebSocket") },
  both: { size: both.text.length, hasSocket: both.text.includes("WebSocket") },
  code, classicCode, origins, warnings: [few, both, page].flatMap((each) => each.warnings),
}));

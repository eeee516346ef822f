// Runs the first page of the README with the parts of a browser that it needs. Input: the page's script.
// Arguments: the service's URL, a folder.
import { writeFile } from "node:fs/promises";
import { text } from "node:stream/consumers";

const [url, folder] = process.argv.slice(2);
const buttons = { "#a": {}, "#b": {} };
let hash = "";
globalThis.location = { href: `${url}/`, get hash() { return hash; }, set hash(id) { hash = `#${id}`; } };
globalThis.document = { querySelector: (name) => buttons[name], addEventListener() {},
  removeEventListener() {} };
globalThis.requestAnimationFrame = (fn) => setTimeout(fn, 16);

const client = new URL("../../synckairos/web/synckairos.js", import.meta.url).href;
const script = (await text(process.stdin)).replace(/"http:[^"]*synckairos.js"/, JSON.stringify(client))
  .replace("new SyncKairos()", `new SyncKairos({ url: ${JSON.stringify(url)} })`);
await writeFile(`${folder}/page.mjs`, script);
await import(`file://${folder}/page.mjs`);

const shown = () => Object.values(buttons).map((button) => Number(button.textContent));
const until = async (condition) => {
  for (const end = Date.now() + 10_000; !condition() && Date.now() < end;) {
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
  return condition();
};
const anna = await until(() => shown()[0] < 179.8 && shown()[1] === 180);
buttons["#a"].onclick();
const ben = await until(() => shown()[1] < 179.8 && shown()[0] > 180);
process.stdout.write(JSON.stringify({ anna, ben, hash }));
process.exit();

// A form for each call of the page at /docs, with the example filled in. What a call answers is put into the
// forms after it: the id of a session that was created, and those of its participants.

const EXAMPLES = {
  session: "7c9e6679-7425-40de-944b-e07fc1f90ae9",
  participants: ["aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"],
};

/** What stands for the ids of the examples, once there is a session. @type {Map<string, string>} */
const real = new Map();
let ids = 0;

const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};

/** A field with its label. */
function field(label, value, { tag = "input", type = "text" } = {}) {
  ids += 1;
  const control = element(tag, { id: `try-${ids}`, class: "input", autocomplete: "off", spellcheck: "false" });
  if (tag === "input") control.type = type;
  control.value = value;
  if (tag === "textarea") control.rows = value.split("\n").length;
  return { control, row: element("div", { class: "field" }, element("label", { for: control.id }, label), control) };
}

/** A text with the ids of the newest session in place of those of the examples. */
const withRealIds = (text) => [...real].reduce((made, [example, id]) => made.replaceAll(example, id), text);

/** Notes the ids of a session that an answer is about. */
function learn(data) {
  if (typeof data?.session_id !== "string") return;
  real.set(EXAMPLES.session, data.session_id);
  if (data.payload || !Array.isArray(data.participants) || data.event) return;
  EXAMPLES.participants.forEach((example, place) => {
    const id = data.participants[place]?.participant_id;
    if (id) real.set(example, id);
  });
}

/** The example's path, query and body, as the page has them. */
function exampleOf(details) {
  const text = details.querySelector(".example").textContent;
  const [, address] = /"\$API(.*)"$/.exec(text);
  const body = /--json '(.*)' "\$API/s.exec(text)?.[1].replaceAll(`'"'"'`, "'");
  const [path, query = ""] = address.split("?");
  return { path, query, body: body === undefined ? null : JSON.stringify(JSON.parse(body), null, 2) };
}

const token = field("Token (where the service asks for one)", "", { type: "password" });

function form(details) {
  const { method, path: template } = details.dataset;
  const example = exampleOf(details);
  const names = [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const pattern = new RegExp(`^${template.replace(/\{\w+\}/g, "([^/]+)")}$`);
  const values = pattern.exec(example.path)?.slice(1) ?? [];
  const places = names.map((name, at) => ({ name, example: values[at], shown: values[at], ...field(name, values[at]) }));
  const query = details.textContent.includes("query") && example.query ? field("Query", example.query) : null;
  const body = example.body === null ? null : field("Body", example.body, { tag: "textarea" });
  const status = element("p", { role: "status" });
  const answer = element("pre", { tabindex: "0", "aria-label": "Answer", hidden: "" });
  const made = element(
    "form",
    { class: "try" },
    element("h3", {}, "Try it"),
    element("div", { class: "fields" }, ...[...places, query].filter(Boolean).map(({ row }) => row)),
    ...(body ? [body.row] : []),
    element("div", {}, element("button", { class: "button primary", type: "submit" }, "Send")),
    status,
    answer,
  );
  /** Puts the ids of the newest session where the ids of the examples still stand. */
  const renew = () => {
    for (const each of places) {
      if (each.control.value === each.shown) each.control.value = withRealIds(each.example);
      each.shown = each.control.value;
    }
    if (body && body.control.value === body.shown) body.control.value = withRealIds(example.body);
    if (body) body.shown = body.control.value;
  };
  if (body) body.shown = body.control.value;
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    const path = places.reduce(
      (text, { name, control }) => text.replace(`{${name}}`, encodeURIComponent(control.value.trim())),
      template,
    );
    const address = query?.control.value ? `${path}?${query.control.value}` : path;
    send(method, address, body?.control.value ?? null, { status, answer });
  });
  return { made, renew };
}

async function send(method, address, body, { status, answer }) {
  status.textContent = "…";
  const headers = { accept: "application/json" };
  if (token.control.value.trim()) headers.authorization = `Bearer ${token.control.value.trim()}`;
  if (body !== null) headers["content-type"] = "application/json";
  try {
    const got = await fetch(address, { method, headers, body, redirect: "error" });
    const text = await got.text();
    let shown = text;
    try {
      const json = JSON.parse(text);
      learn(json.data);
      shown = JSON.stringify(json, null, 2);
    } catch {
      // It is no JSON, and is shown as it came.
    }
    status.textContent = `${got.status} ${got.statusText}`;
    answer.textContent = shown;
    answer.hidden = shown === "";
  } catch (error) {
    status.textContent = `No answer: ${error.message}`;
    answer.hidden = true;
  }
}

document.querySelector("#origin").textContent = `API=${location.origin}`;
document.querySelector("#try").append(token.row);

const forms = new Map();
for (const details of document.querySelectorAll("details[data-method]")) {
  details.addEventListener("toggle", () => {
    if (!details.open) return;
    if (!forms.has(details)) {
      forms.set(details, form(details));
      details.querySelector(".example").after(forms.get(details).made);
    }
    forms.get(details).renew();
  });
}

/** Opens what the address names: a call or a type. */
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
}

addEventListener("hashchange", openTarget);
openTarget();

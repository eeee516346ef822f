// Finds the string literals of the console's sources, and those that stand where people would read them.

/** Calls whose arguments are texts, with the place of the first one and, where others follow, of the last. */
const TEXT_ARGUMENTS = new Map(Object.entries({
  h: [2, Infinity], fill: [1, Infinity], note: [1, Infinity], setText: [1, 1], toast: [0, 0], button: [0, 0],
  item: [0, 0], main: [0, 0], extra: [0, 0], again: [0, 0], disclosure: [0, 1], section: [0, 0], append: [0, Infinity],
  prepend: [0, Infinity], replaceChildren: [0, Infinity], createTextNode: [0, 0], copy: [1, 1],
}));
/** Words before a parenthesis that calls nothing. */
const KEYWORDS = new Set(["if", "for", "while", "switch", "return", "typeof", "await", "of", "in", "catch"]);
/** Members of objects whose values are texts. */
const TEXT_MEMBERS = new Set([
  "label", "title", "aria-label", "aria-description", "aria-roledescription", "placeholder", "hint", "text", "yes",
  "no", "alt", "caption", "line", "message", "legend", "heading", "textContent",
]);
/** A property that is set to a text. */
const TEXT_PROPERTY = /\.(?:title|placeholder|textContent|innerText|ariaLabel|alt)$/;
const BEFORE_REGEX = /^(?:[=(,:;!&|?{}[+\-*%<>~^]|=>|return|typeof|case|in|of|await|&&|\|\||\?\?|===|!==)$/;
const TOKEN =
  /\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/|(?<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?<name>#?[\p{L}_$][\p{L}\p{N}_$]*|\d[\w.]*)|(?<sign>=>|===|!==|==|!=|&&=?|\|\|=?|\?\?=?|\?\.|\.\.\.|\+\+|--|.)/suy;
const REGEX = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/uy;

/**
 * The string literals of a source.
 *
 * @param {string} source
 * @returns {{text: string, line: number, isText: boolean, callee: string, argument: number}[]} text: with
 *   `${…}` for what a template puts in; isText: whether it stands where a user reads it; callee, argument: the call
 *   whose argument it is a part of
 */
export function literals(source) {
  const found = [];
  read(source, 0, found, false);
  return found;
}

/** Reads tokens from a position on; within a template up to the brace that closes its expression. */
function read(source, from, found, inTemplate, outer = []) {
  const stack = [...outer];
  const depth = stack.length;
  let at = from;
  let before = "";
  let path = ""; // the names before this place, as in `control.title`
  const pending = []; // literals, which are no texts if a comparison follows
  while (at < source.length) {
    if (source[at] === "`") {
      const literal = { text: "", line: lineAt(source, at), before };
      at = readTemplate(source, at + 1, literal, found, stack);
      place(literal, stack, path, found, pending);
      [before, path] = ["`", ""];
      continue;
    }
    const mayBeRegex = source[at] === "/" && !/^\/[/*]/.test(source.slice(at, at + 2));
    if (mayBeRegex && (before === "" || BEFORE_REGEX.test(before))) {
      REGEX.lastIndex = at;
      const regex = REGEX.exec(source);
      if (regex) {
        at = REGEX.lastIndex;
        [before, path] = ["regex", ""];
        continue;
      }
    }
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(source);
    at = TOKEN.lastIndex;
    const { string, name, sign } = token.groups;
    if (string !== undefined) {
      const top = stack.at(-1);
      const text = string.slice(1, -1);
      if (top?.kind === "{" && top.expectsKey && /^[{,]$/.test(before) && /^\s*:/.test(source.slice(at))) top.key = text;
      else place({ text, line: lineAt(source, token.index), before }, stack, path, found, pending);
      [before, path] = [string, ""];
    } else if (name !== undefined) {
      const top = stack.at(-1);
      if (top?.kind === "{" && top.expectsKey && /^[{,]$/.test(before)) top.key = /^\s*:/.test(source.slice(at)) ? name : null;
      path = /^\??\.$/.test(before) ? `${path}.${name}` : name;
      before = name;
    } else if (sign !== undefined) {
      if (/^[!=]==?$/.test(sign) && pending.at(-1)?.end === before) pending.at(-1).literal.isText = false;
      if (sign === "(") {
        const callee = /[\w$]$/.test(before) && !KEYWORDS.has(before) ? path.split(".").at(-1) : "";
        stack.push({ kind: "(", callee, argument: 0 });
      } else if (sign === "[") stack.push({ kind: "[", isIndex: /[\w$)\]]$/.test(before) && before !== "return" });
      else if (sign === "{") stack.push({ kind: "{", key: null, expectsKey: true });
      else if (/[)\]}]/.test(sign)) {
        if (inTemplate && sign === "}" && stack.length === depth) return at;
        stack.pop();
      } else if (sign === "," && stack.length > 0) {
        const top = stack.at(-1);
        if (top.kind === "(") top.argument += 1;
        if (top.kind === "{") [top.key, top.expectsKey] = [null, true];
      } else if (sign === ";" && stack.at(-1)?.kind === "{") stack.at(-1).expectsKey = true;
      else if (sign === ":" && stack.at(-1)?.kind === "{") stack.at(-1).expectsKey = false;
      if (sign === "=" && TEXT_PROPERTY.test(path)) pending.assigned = true;
      else if (/[;{}]/.test(sign)) pending.assigned = false;
      if (sign !== "." && sign !== "?." && sign !== "(") path = "";
      before = sign;
    }
  }
  return at;
}

function readTemplate(source, from, literal, found, stack) {
  let at = from;
  while (source[at] !== "`") {
    if (source[at] === "\\") {
      literal.text += source.slice(at, at + 2);
      at += 2;
    } else if (source.startsWith("${", at)) {
      literal.text += "${…}";
      at = read(source, at + 2, found, true, [...stack, { kind: "[" }]);
    } else {
      literal.text += source[at];
      at += 1;
    }
  }
  return at + 1;
}

function place({ text, line, before }, stack, path, found, pending) {
  let isText = pending.assigned === true;
  let [callee, argument] = ["", -1];
  for (const each of [...stack].reverse()) {
    if (each.kind === "[" && !each.isIndex) continue;
    if (each.kind === "(" && each.callee === "") continue;
    if (each.kind === "(") {
      [callee, argument] = [each.callee, each.argument];
      const [first, last] = TEXT_ARGUMENTS.get(each.callee) ?? [Infinity, -1];
      isText ||= each.argument >= first && each.argument <= last;
      const isAttribute = /^(?:setAttribute)$/.test(each.callee) && each.argument === 1;
      isText ||= isAttribute && /^(?:aria-label|title|placeholder)$/.test(each.attribute ?? "");
      if (each.callee === "setAttribute" && each.argument === 0) each.attribute = text;
      if (each.callee !== "" && !TEXT_ARGUMENTS.has(each.callee)) isText &&= isAttribute;
    } else if (each.kind === "{") isText = each.key !== null && TEXT_MEMBERS.has(each.key);
    break;
  }
  if (/^(?:[!=]==?|case|import|from)$/.test(before)) isText = false;
  const literal = { text, line, isText, callee, argument };
  found.push(literal);
  pending.push({ literal, end: before === "`" ? "`" : `"${text}"` });
}

const lineAt = (source, at) => source.slice(0, at).split("\n").length;

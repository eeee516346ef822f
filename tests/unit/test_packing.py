"""The console's files, packed: each form of import and export does what it does in a browser."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from synckairos.api.delivery import encoding, site
from synckairos.api.delivery.minifying import minified
from synckairos.api.delivery.packing import BUILT, Packer, UnpackableError
from synckairos.api.delivery.texts import named
from tests.web.node import program

HTML = """<!doctype html>
<html>
<head>
  <title>Page</title>
  <link rel="icon" href="/console/a/icon.svg">
  <link rel="stylesheet" href="/console/a/one.css">
  <link rel="stylesheet" href="/console/a/two.css">
  <script src="/console/a/classic.js"></script>
  <script type="module" async src="/console/a/first.js"></script>
  <script type="module" src="/console/a/main.js"></script>
</head>
<body></body>
</html>
"""
FILES = {
    "/console/a/page.html": HTML,
    "/console/a/icon.svg": "<svg></svg>",
    "/console/a/one.css": "a { color: red; }  /* said */",
    "/console/a/two.css": 'a::before { content: "/* kept */"; inline-size: calc(1px + 2px); }',
    "/console/a/classic.js": "ran.push('classic'); // said\n",
    "/console/a/first.js": "export const first = 'first';\nran.push(first);\n",
    "/console/a/main.js": "import './x.js';\n",
}
NODE = program()
"""The Node.js that Playwright brings along, so that it is there on each machine."""


def pack(**files: str) -> Packer:
    """The packer after it has packed the page, whose `main.js` is the file of that name."""
    packer = Packer({**FILES, **{f"/console/a/{name}.js": text for name, text in files.items()}})
    packer.page("/console/a/page.html")
    return packer


def run(tmp_path: Path, **files: str) -> list[Any]:
    """What the page's scripts put into `ran`, run by Node."""
    packer = Packer({**FILES, **{f"/console/a/{name}.js": text for name, text in files.items()}}, named)
    page = packer.page("/console/a/page.html")
    for address, body in packer.built.items():
        if address.endswith(".js"):
            target = tmp_path / address.removeprefix(BUILT)
            target = target.with_suffix(".mjs")
            target.write_bytes(body.replace(BUILT.encode(), b"./").replace(b'.js"', b'.mjs"'))
    (script,) = [each for each in page.files if each.endswith(".js")]
    inline = page.inline.replace("const $m=", "globalThis.$m=")
    (tmp_path / "page.mjs").write_text(
        "globalThis.ran = []; globalThis.added = [];"
        "globalThis.document = {createElement: () => ({}), head: {append: (each) => added.push(each.href)}};"
        f"(0, eval)({json.dumps(inline)});"
        f"await import({json.dumps('./' + script.removeprefix(BUILT).replace('.js', '.mjs'))});"
        "await globalThis.done;"
        "console.log(JSON.stringify([ran, added]));"
    )
    done = subprocess.run([NODE, "page.mjs"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ran, added = json.loads(done.stdout)
    return [*ran, *added]


def test_every_form_of_import_and_export_does_what_it_does_in_a_browser(tmp_path: Path) -> None:
    assert run(
        tmp_path,
        main="""
// import { nothing } from "./nowhere.js";
import { first } from "./first.js";
import {
  same,
  other as renamed,
} from "./named.js";
import * as all from "./named.js";
import only from "./only.js";
import { passed, same as again } from "./passed.js";
import "./alone.js";

/** @type {import("./types.js").Type} */
export class Main {
  #value = `${`inner ${same()}`} // no comment`;
  static isIt = /[/"'`]\\/\\/ "no string/.test('x') ? 1 : 2;
  get value() { return this.#value; }
}
ran.push(first, same(), renamed, all.async_ !== undefined, only.key, passed === all.other, again === same);
ran.push(new Main().value, Main.isIt, 4 / 2 / 1);
""",
        named="""export function same() { return "same"; }
export async function async_() {}
export function* many() { yield 1; }
const other = { a: 1 };
const $own = 3;
export { other, $own as own };
export class Thing {}
""",
        only="export default {\n  key: 'value',\n};\n",
        passed='export { same, other as passed } from "./named.js";\n',
        alone="ran.push('alone');\n",
    ) == [
        *("classic", "first"),  # while the page is read
        *("alone", "first", "same", {"a": 1}, True, "value", True, True),
        *("inner same // no comment", 2, 2),
    ]


def test_a_module_runs_once_and_those_that_wait_come_before_those_that_import_them(tmp_path: Path) -> None:
    *ran, texts = run(
        tmp_path,
        main="""import { value } from "./waits.js";
import { first } from "./first.js";
ran.push(value, first);
globalThis.done = (async () => {
  const [one, two] = await Promise.all([import("./later.js"), import("./later.js")]);
  ran.push(one === two, one.told(), (await import("./waits.js")).value);
})();
""",
        waits="""import { language } from "./first.js";
const texts = (await import(`./texts/${language}.js`)).default;
export const value = texts.hello;
""",
        first="export const first = 'first';\nexport const language = 'en';\n",
        later="""import { value } from "./waits.js";
import { deep } from "./deep.js";
ran.push("later");
export const told = () => value + deep;
""",
        deep="ran.push('deep');\nexport const deep = '!';\n",
        **{
            "texts/en": "export default { hello: 'Hello' };\n",
            "texts/de": "export default { hello: 'Hallo' };\n",
        },
    )
    assert ran == ["classic", "Hello", "first", "deep", "later", True, "Hello!", "Hello"]
    # The page asks for the texts of its language together with its first files.
    assert texts.startswith(f"{BUILT}page.a-texts-en-")


TEXTS = """// The texts.
export default {
  // Words
  "a.first": "First",
  "a.made.one": "Made",
  "a.later": { one: "Later", other: "Later {count}" },
  "b.nobody": "Nobody",
};
"""


def test_texts_of_what_is_loaded_later_come_with_it(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        main="""import { t } from "./waits.js";
ran.push(t("a.first"), t(`a.made.${"one"}`), t(["a", "later"].join(".")));
globalThis.done = (async () => { await import("./later.js"); })();
""",
        waits="""import { language } from "./first.js";
const texts = (await import(`./texts/${language}.js`)).default;
export const t = (key) => texts[key];
""",
        first="export const language = 'en';\n",
        later="""import { t } from "./waits.js";
ran.push(t("a.later").one, t(["b", "nobody"].join(".")));
""",
        **{"texts/en": TEXTS},
    )
    assert ran[1:-1] == ["First", "Made", None, "Later", None]


def test_the_first_texts_are_those_that_the_first_script_names() -> None:
    early, rest = named(TEXTS, """t("a.first") + t(`a.made.${kind}`)""", "t('a.later')")
    assert ['"a.first"' in early, '"a.made.one"' in early, '"a.later"' in early] == [True, True, False]
    assert ['"a.first"' in rest, '"a.later"' in rest, '"b.' in early + rest] == [False, True, False]
    assert named(TEXTS, "t('a.' + kind)", "")[1] == "", "a key that is put together may be any that begins so"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('\nimport one, { two } from "./first.js";\n', "main.js, line 2: what is this? import one, { two }"),
        ("export let changes = 1;\n", "main.js, line 1: what is this? export let changes"),
        ('export * from "./first.js";\n', "main.js, line 1: what is this? export * from"),
        ("\n\nexport default function () {}\n", "main.js, line 3: what is this? export default function"),
        ("export const { a, b } = {};\n", "main.js, line 1: what is this? export const {"),
        ('import { first /* why */ } from "./first.js";\n', "main.js, line 1: what is this? first /* why */"),
        ('import { x } from "./nowhere.js";\n', "nowhere.js: there is no such file"),
        ('import { x } from "react";\n', "'react' is no file of the console"),
        (
            "const x = 1;\nimport(somewhere);\n",
            "line 2: only a literal path can be loaded later: import(somewhere)",
        ),
        ("import.meta.resolve('x');\n", "only a literal path can be loaded later"),
        ('import { a } from "./main.js";\n', "a circle: /console/a/main.js imports /console/a/main.js"),
        ("const $m = 1;\n", "$m and $load are names of the packer"),
    ],
)
def test_what_is_not_known_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(UnpackableError) as refused:
        pack(main=text)
    assert said in str(refused.value)


def test_what_runs_first_waits_for_nothing() -> None:
    with pytest.raises(UnpackableError, match=r"first\.js: a module that runs first can wait for nothing"):
        pack(first="const x = await 1;\n", main="")


def test_a_page_names_its_packed_files_and_its_first_script_comes_before_the_styles() -> None:
    packer = Packer({**FILES, "/console/a/main.js": "ran.push(1);\n"})
    page = packer.page("/console/a/page.html")
    script, style = page.files
    assert packer.built[style] == (b'a{color:red}a::before{content:"/* kept */";inline-size:calc(1px + 2px)}')
    assert page.html.index("modulepreload") < page.html.index("<script>") < page.html.index("stylesheet")
    assert page.html.count("stylesheet") == page.html.count('type="module"') == 1
    assert script in page.html
    assert "/console/a/" not in page.html, "the icon is a packed file, too"


def test_a_name_is_the_hash_of_what_is_in_it() -> None:
    one, two = pack(main="ran.push(1);\n"), pack(main="ran.push(2);\n")
    assert one.built.keys() != two.built.keys()
    assert pack(main="ran.push(1);\n").built == one.built


def test_all_pages_are_packed() -> None:
    files, modules = site.sources()
    made = site.of(files, modules)
    assert {"list/index.html", "session/session.html", "missing/missing.html"} <= made.pages.keys()
    for page in made.pages.values():
        assert b"/console/built/" in page.body
    assert made.console.keys() > files.keys()


def test_all_modules_mean_the_same_without_comments_and_spaces(tmp_path: Path) -> None:
    """By the parser that Node has inside: the trees of both are the same."""
    files, modules = site.sources()
    texts = {
        name: body.decode()
        for name, body in {**files, **{f"/{name}": body for name, body in modules.items()}}.items()
        if name.endswith(".js")
    }
    (tmp_path / "texts.json").write_text(json.dumps({n: [t, minified(t)] for n, t in texts.items()}))
    built = site.of(files, modules).console
    scripts = {
        name: f.body.decode() for name, f in built.items() if name.startswith(BUILT) and name[-3:] == ".js"
    }
    (tmp_path / "built.json").write_text(json.dumps(scripts))
    (tmp_path / "compare.js").write_text(
        """
const { parse } = require("internal/deps/acorn/acorn/dist/acorn");
const { readFileSync } = require("fs");
const read = (name) => JSON.parse(readFileSync(name, "utf8"));
const tree = (text, sourceType = "module") =>
  JSON.stringify(
    parse(text, { ecmaVersion: "latest", sourceType, allowAwaitOutsideFunction: true }),
    (key, value) => (key === "start" || key === "end" || key === "raw" ? undefined : value),
  );
const wrong = [];
for (const [name, [before, after]] of Object.entries(read("texts.json")))
  if (tree(before) !== tree(after)) wrong.push(name);
for (const [name, text] of Object.entries(read("built.json"))) {
  try {
    parse(text, { ecmaVersion: "latest", sourceType: "module" });
  } catch (error) {
    wrong.push(`${name}: ${error.message}`);
  }
}
console.log(JSON.stringify(wrong));
"""
    )
    command = [NODE, "--expose-internals", "compare.js"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (json.loads(done.stdout or "0"), done.stderr) == ([], "")
    assert len(texts) > 40


@pytest.mark.parametrize(
    ("accepted", "best"),
    [
        ("", "identity"),
        ("gzip", "gzip"),
        ("GZIP;Q=1", "gzip"),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip;q=1.0, br;q=0.9", "gzip"),
        ("*", "br"),
        ("*;q=0.1, br;q=0", "gzip"),
        ("identity;q=1, gzip;q=0.2", "identity"),
        ("gzip;q=0", "identity"),
        ("gzip;q=2", "identity"),
        (";;;,,gzip", "gzip"),
        ("zstd;q=1", "identity"),
    ],
)
def test_the_encoding_is_the_best_that_is_accepted(accepted: str, best: str) -> None:
    assert encoding.chosen(accepted) == best


@pytest.mark.parametrize(
    ("text", "small"),
    [
        ("a = `x  ${b ? `y  ${ c }  ` : ''}  z`; // no\n", "a=`x  ${b ? `y  ${ c }  ` : ''}  z`;"),
        ("/* ` */ a = `x ${{ b: 1 }.b} ${`  `}`;  b", "a=`x ${{ b: 1 }.b} ${`  `}`;b"),
        ("a = /`/.test('`') && `${`  `}` ;", "a=/`/.test('`')&&`${`  `}`;"),
        ("a = `\\` ${`  `} $ { \\${ `;  b = `  `;", "a=`\\` ${`  `} $ { \\${ `;b=`  `;"),
        ("f(`${a ? `  ` : `  `}`,  `${  b  }`)", "f(`${a ? `  ` : `  `}`,`${  b  }`)"),
        ("const f = () => {  return `${`  `}`;  }", "const f=()=>{return `${`  `}`;}"),
    ],
)
def test_templates_inside_of_templates_stay_as_they_are(text: str, small: str) -> None:
    assert minified(text) == small

"""Packs ES modules: all that a page imports becomes one script, in which each module has a scope of its own.

It knows the forms of `import` and `export` that the console is written in, each at the beginning of a line,
and refuses every other one with the file and the line. What is loaded by `import("./x.js")` becomes a file
of its own, with what only it imports. A module of a page is run once, whoever imports it.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import rcssmin

from synckairos.api.delivery.minifying import minified

BUILT = "/console/built/"
"""Where the packed files are. Each has the hash of its content in its name, so it never changes."""

_IMPORT = re.compile(
    r'^import\s+(?:(?P<names>\{[^}]*\}|\*\s+as\s+[\w$]+|[\w$]+)\s+from\s+)?"(?P<path>[^"\n]+)";', re.MULTILINE
)
_PASSED_ON = re.compile(r'^export\s+\{(?P<names>[^}]*)\}\s+from\s+"(?P<path>[^"\n]+)";', re.MULTILINE)
_LISTED = re.compile(r"^export\s+\{(?P<names>[^}]*)\};", re.MULTILINE)
_DECLARED = re.compile(
    r"^export\s+(?P<kind>(?:async\s+)?function\b\s*\*?|class\b|const\b)\s*(?P<name>[\w$]+)", re.MULTILINE
)
_DEFAULT = re.compile(r"^export\s+default\s+(?!async\b|class\b|function\b)", re.MULTILINE)
_UNKNOWN = re.compile(r"^(?:export\b|import\b(?!\s*[(.])).*", re.MULTILINE)
_WAITS = re.compile(r"^(?!\s|//|\*|/\*|\}|.*\basync\b).*\bawait\b", re.MULTILINE)
_NAME = re.compile(r"(?P<from>[\w$]+)(?:\s+as\s+(?P<to>[\w$]+))?")
_DYNAMIC = re.compile(r'\bimport\((?:"([^"]+)"|`([^`$]*)\$\{([\w$]+)\}([^`$]*)`)\)')
_PLACE = re.compile(r"\$load\((\d+)\)")
_OTHER_DYNAMIC = re.compile(r"\bimport\s*[(.]")

_HEAD_TAGS = re.compile(r"^[ \t]*<(?:link|script)\b[^>]*>(?:</script>)?[ \t]*\n", re.MULTILINE)
_NAMED = re.compile(r'(?<=")/console/(?!built/)[\w/-]+\.(?:css|svg)(?=")')
"""A picture or a stylesheet, named by its address."""
_ATTRIBUTE = re.compile(r'\b(rel|type|src|href)="([^"]*)"')


class UnpackableError(Exception):
    """A file that cannot be packed: a form that the packer does not know, or a file that is not there."""


@dataclass(frozen=True, slots=True)
class Later:
    """What a module loads when it needs it.

    path: the module; with `*` for each file of a folder, one of which the variable `chosen_by` names
    """

    path: str
    chosen_by: str | None = None


@dataclass(frozen=True, slots=True)
class Module:
    """A module, ready to be put into a script.

    code: without comments and spaces, with a placeholder for each thing that it loads later
    imports: the paths of the modules that it imports
    names: where its imported names come from: the module and the name there
    """

    path: str
    code: str
    exports: Mapping[str, str]
    imports: tuple[str, ...]
    names: Mapping[str, tuple[str, str]]
    later: tuple[Later, ...]
    waits: bool


@dataclass(slots=True)
class _Found:
    """What is found in a module while it is read."""

    imports: list[str] = field(default_factory=list)
    names: dict[str, tuple[str, str]] = field(default_factory=dict)
    exports: dict[str, str] = field(default_factory=dict)
    later: list[Later] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Page:
    """A packed page.

    inline: the script that stands in it, for the content security policy
    files: the packed files that it loads at once
    """

    html: str
    inline: str
    files: tuple[str, ...]


class Packer:
    """Packs the pages of a site.

    sources: the text of each file by its address, as in `/console/session/session.js`
    divided: called with a file of those of which a variable chooses one, as the texts of a language, with the
        code of a page's first script, and with that of its later ones; gives what the first script needs of
        it, and what the later ones need besides, "" for nothing
    built: the packed files by their addresses
    """

    def __init__(
        self,
        sources: Mapping[str, str],
        divided: Callable[[str, str, str], tuple[str, str]] = lambda text, *_: (text, ""),
    ) -> None:
        self._sources = sources
        self._divided = divided
        self._page = ""
        """The page which is packed: what its files that are loaded later are called by."""
        self._code = ("", "")
        """The page which is packed, with its first script; and what it loads later."""
        self._choices: dict[str, tuple[str, str]] = {}
        """What the page which is packed has of the files that a variable chooses: their addresses."""
        self._modules: dict[str, Module] = {}
        self._chunks: list[str] = []
        """The modules whose files are being made."""
        self.built: dict[str, bytes] = {}

    def page(self, address: str, *, first: Iterable[str] = (), also: Iterable[str] = ()) -> Page:
        """Packs a page's HTML.

        Its stylesheets become one. Classic scripts, and module scripts with `async`, which import little and
        wait for nothing, become a script inside of it, which runs before anything else is loaded. The
        other module scripts become one. `first` and `also` add modules to the one and the other.
        """
        html = self._source(address)
        styles, classic, early = list[str](), list[str](), list[str]()
        scripts, kept = list[str](), list[str]()
        head, separator, body = html.partition("</head>")
        tags = [match.group() for match in _HEAD_TAGS.finditer(head)]
        for tag in tags:
            attributes = dict(_ATTRIBUTE.findall(tag))
            if attributes.get("rel") == "stylesheet":
                styles.append(attributes["href"])
            elif "<link" in tag:
                kept.append(tag.strip())
            elif attributes.get("type") != "module":
                classic.append(attributes["src"])
            else:
                (early if " async" in tag else scripts).append(attributes["src"])
        inlined = self._closure([*early, *first], ())
        eager = self._closure([*scripts, *also], inlined)
        first = [*inlined, *eager]
        later = [path for path in self._reachable(first) if path not in first]
        texts = ["".join(self._module(path).code for path in paths) for paths in (first, later)]
        self._code, self._choices = (html + texts[0], texts[1]), {}
        stem = posixpath.basename(address).removesuffix(".html")
        self._page = stem
        script = self._name(stem, "js", self._script(eager, inlined))
        style = self._name(stem, "css", self._style(styles))
        inline = self._inline(address, classic, inlined, eager)
        tags_now = [
            f'<link rel="modulepreload" href="{script}">',
            f"<script>{inline}</script>",
            *kept,
            f'<link rel="stylesheet" href="{style}">',
            f'<script type="module" src="{script}"></script>',
        ]
        start = head.index(tags[0])
        rest = _HEAD_TAGS.sub("", head[start:])
        text = head[:start] + "\n".join(tags_now) + "\n" + rest + separator + body
        text = _NAMED.sub(lambda match: self._named(match.group()), re.sub(r"\n\s*", "\n", text))
        return Page(text, inline, (script, style))

    def _named(self, path: str) -> str:
        """The address of a picture or a stylesheet."""
        name, _, ending = path.partition(".")
        return self._name(_stem(name), ending, self._style([path]) if ending == "css" else self._source(path))

    def _reachable(self, paths: Iterable[str]) -> Iterable[str]:
        """The modules with all that they import or load later, but for files that a variable chooses."""
        found = dict.fromkeys(paths)
        waiting = list(found)
        while waiting:
            module = self._module(waiting.pop())
            later = [each.path for each in module.later if each.chosen_by is None]
            new = [each for each in (*module.imports, *later) if each not in found]
            found |= dict.fromkeys(new)
            waiting += new
        return found

    def _source(self, path: str) -> str:
        try:
            return self._sources[path]
        except KeyError:
            raise UnpackableError(f"{path}: there is no such file") from None

    def _name(self, stem: str, ending: str, text: str) -> str:
        """Keeps a packed file, and gives its address."""
        body = text.encode()
        address = f"{BUILT}{stem}-{hashlib.sha256(body).hexdigest()[:12]}.{ending}"
        self.built[address] = body
        return address

    # Modules

    def _module(self, path: str) -> Module:
        if path not in self._modules:
            self._modules[path] = self._read(path, self._source(path))
        return self._modules[path]

    def _read(self, path: str, source: str) -> Module:
        found = _Found()
        if "$m" in source or "$load" in source:
            raise UnpackableError(f"{path}: $m and $load are names of the packer")
        text = self._without_exports(path, self._without_imports(path, source, found), found)
        unknown = _UNKNOWN.search(text)
        if unknown is not None:
            raise _unpackable(path, text, unknown.start(), f"what is this? {unknown.group()}")
        code = minified(text)
        if "import" in code:
            code = self._without_dynamic(path, code, found)
        if '"/console/' in code:
            code = _NAMED.sub(lambda match: self._named(match.group()), code)
        return Module(
            path,
            code,
            found.exports,
            tuple(dict.fromkeys(found.imports)),
            found.names,
            tuple(found.later),
            waits=_WAITS.search(source) is not None,
        )

    def _resolved(self, path: str, target: str) -> str:
        if not target.startswith(("./", "../", "/")):
            raise UnpackableError(f"{path}: {target!r} is no file of the console")
        return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))

    def _without_imports(self, path: str, source: str, found: _Found) -> str:
        """The source, in which each import is a declaration of the names."""

        def declared(match: re.Match[str]) -> str:
            names, target = match["names"], self._resolved(path, match["path"])
            found.imports.append(target)
            lines = "\n" * match.group().count("\n")
            there = _place(target)
            if names is None:
                return lines
            if names[0] == "*":
                return f"const {names.split()[-1]} = {there};{lines}"
            if names[0] != "{":
                found.names[names] = (target, "default")
                return f"const {{ default: {names} }} = {there};{lines}"
            pairs = dict(_names(path, source, match, names[1:-1]))
            found.names |= {local: (target, given) for local, given in pairs.items()}
            inside = ", ".join(
                given if given == local else f"{given}: {local}" for local, given in pairs.items()
            )
            return f"const {{ {inside} }} = {there};{lines}"

        return _IMPORT.sub(declared, source)

    def _without_exports(self, path: str, text: str, found: _Found) -> str:
        """The text without the word `export`."""

        def passed_on(match: re.Match[str]) -> str:
            target = self._resolved(path, match["path"])
            found.imports.append(target)
            for given, name in _names(path, text, match, match["names"]):
                found.exports[given] = f"{_place(target)}.{name}"
            return "\n" * match.group().count("\n")

        def listed(match: re.Match[str]) -> str:
            found.exports.update(_names(path, text, match, match["names"]))
            return "\n" * match.group().count("\n")

        def declared(match: re.Match[str]) -> str:
            found.exports[match["name"]] = match["name"]
            return f"{match['kind']} {match['name']}"

        def default(_: re.Match[str]) -> str:
            found.exports["default"] = "$default"
            return "const $default = "

        for pattern, change in (
            (_PASSED_ON, passed_on),
            (_LISTED, listed),
            (_DECLARED, declared),
            (_DEFAULT, default),
        ):
            text = pattern.sub(change, text)
        return text

    def _without_dynamic(self, path: str, code: str, found: _Found) -> str:
        """The code with a placeholder for each thing that is loaded later, and with its own address."""

        def placed(match: re.Match[str]) -> str:
            literal, before, variable, after = match.groups()
            if literal is not None:
                found.later.append(Later(self._resolved(path, literal)))
            else:
                found.later.append(Later(self._resolved(path, f"{before}*{after}"), variable))
            return f"$load({len(found.later) - 1})"

        code = _DYNAMIC.sub(placed, code)
        code = code.replace("import.meta.url", f"new URL({json.dumps(path)},location.href).href")
        other = _OTHER_DYNAMIC.search(code)
        if other is not None:
            shown = code[other.start() : other.start() + 60]
            source = self._source(path)
            at = source.find(shown.split("(")[-1][:12])
            raise _unpackable(path, source, max(at, 0), f"only a literal path can be loaded later: {shown}")
        return code

    # Scripts

    def _closure(self, paths: Iterable[str], provided: Iterable[str]) -> tuple[str, ...]:
        """The modules with all that they import, each after what it imports, without those that are there."""
        order: dict[str, None] = {}
        there, under_way = set(provided), list[str]()

        def visit(path: str) -> None:
            if path in under_way:
                circle = " imports ".join([*under_way[under_way.index(path) :], path])
                raise UnpackableError(f"a circle: {circle}")
            if path in there or path in order:
                return
            under_way.append(path)
            for each in self._module(path).imports:
                visit(each)
            under_way.pop()
            order[path] = None

        for path in paths:
            visit(path)
        return tuple(order)

    def _script(self, paths: tuple[str, ...], provided: tuple[str, ...]) -> str:
        there = (*provided, *paths)
        # The texts (t) say where those are that the first script does not need. What comes later needs them.
        load = (
            "const $load=(n,u,t)=>{if(t!==undefined)$m.$more=t;return $m[n]?Promise.resolve($m[n])"
            ":Promise.all([import(u),t===undefined&&$m.$more&&import($m.$more).then((c)=>c.default($m))])"
            ".then(([c])=>c.default($m,$load)).then(()=>$m[n])};\n"
        )
        return load + "\n".join(f"{_place(path)}={self._run(self._module(path), there)};" for path in paths)

    def _run(self, module: Module, there: tuple[str, ...]) -> str:
        """The expression that runs a module, whose value is what it exports."""
        code = module.code
        if module.later:
            code = _PLACE.sub(lambda match: self._loading(module.later[int(match[1])], there), code)
        exports = ",".join(
            name if name == inner else f"{name}:{inner}" for name, inner in module.exports.items()
        )
        scope = f"()=>{{{code}\nreturn{{{exports}}}}}"
        return f"await(async{scope})()" if module.waits else f"({scope})()"

    def _loading(self, later: Later, there: tuple[str, ...]) -> str:
        if later.chosen_by is None:
            return f"$load({self._address(later.path, there)})"
        choices = ",".join(
            f"{json.dumps(name)}:{json.dumps([_key(path), *self._choice(path)], separators=(',', ':'))}"
            for name, path in self._matching(later.path)
        )
        return f"$load(...({{{choices}}})[{later.chosen_by}])"

    def _address(self, path: str, there: tuple[str, ...]) -> str:
        """The key and the address of a module that is loaded later, as arguments."""
        key = json.dumps(_key(path))
        return key if path in there else f'{key},"{self._chunk(path, there)}"'

    def _chunk(self, path: str, there: tuple[str, ...]) -> str:
        if path in self._chunks:
            raise UnpackableError(f"{path} loads itself later")
        self._chunks.append(path)
        try:
            paths = self._closure([path], there)
            all_ = (*there, *paths)
            runs = "\n".join(f"{_place(each)}??={self._run(self._module(each), all_)};" for each in paths)
        finally:
            self._chunks.pop()
        return self._file(path, runs)

    def _choice(self, path: str) -> tuple[str, str]:
        """The address of a file that a variable chooses, and of what later scripts need besides; "" for none.

        It exports one value, and imports nothing.
        """
        if path not in self._choices:
            first, more = self._divided(self._source(path), *self._code)
            address = self._file(path, f"{_place(path)}??={{default:{self._value(path, first)}}};")
            adds = f"Object.assign({_place(path)}.default,{self._value(path, more)});" if more else ""
            self._choices[path] = (address, self._file(path, adds, "-more") if more else "")
        return self._choices[path]

    def _value(self, path: str, source: str) -> str:
        """The code of the one value that a module exports."""
        before, _, value = source.partition("export default ")
        code = minified(value)
        if not code or minified(before) or _OTHER_DYNAMIC.search(code):
            raise UnpackableError(f"{path}: one of several files is a value, and nothing else")
        return code.rstrip(";")

    def _file(self, path: str, runs: str, part: str = "") -> str:
        """The address of a packed file that is loaded later.

        Its name says for which page it was packed: two pages need different parts of the same module, and a
        page of another release is answered by name.
        """
        name = f"{self._page}.{_stem(path)}{part}"
        return self._name(name, "js", f"export default async($m,$load)=>{{{runs}\n}};")

    def _matching(self, pattern: str) -> Iterator[tuple[str, str]]:
        """The files that a path with `*` means, each with what the `*` stands for."""
        before, _, after = pattern.partition("*")
        for path in sorted(self._sources):
            if path.startswith(before) and path.endswith(after):
                name = path[len(before) : len(path) - len(after)]
                if "/" not in name:
                    yield name, path

    def _inline(
        self, address: str, classic: Iterable[str], inlined: tuple[str, ...], eager: tuple[str, ...]
    ) -> str:
        """The script that stands in the page: it runs while the page is read, before any other file came."""
        parts = [minified(f"(()=>{{{self._source(path)}\n}})();") for path in classic]
        parts.append("const $m={};")
        for path in inlined:
            module = self._module(path)
            if module.waits or module.later:
                raise UnpackableError(f"{path}: a module that runs first can wait for nothing")
            parts.append(f"{_place(path)}={self._run(module, inlined)};")
        for path in eager:
            module = self._module(path)
            for later in module.later:
                if later.chosen_by is None:
                    continue
                source, name = module.names.get(later.chosen_by, ("", ""))
                if source not in inlined:
                    continue
                # It is known already which one will be loaded, so it comes with the first files.
                addresses = {choice: self._choice(each)[0] for choice, each in self._matching(later.path)}
                parts.append(
                    '{const l=document.createElement("link");l.rel="modulepreload";'
                    f"l.href={json.dumps(addresses, separators=(',', ':'))}"
                    f"[{_place(source)}.{name}];document.head.append(l)}}"
                )
        text = "\n".join(parts)
        if "</script" in text or "<!--" in text:
            raise UnpackableError(f"{address}: its first script cannot stand in a page")
        return text

    def _style(self, paths: Iterable[str]) -> str:
        sheets = [(path, self._source(path)) for path in paths]
        for path, text in sheets:
            at = text.find("@import")
            if at >= 0:
                raise _unpackable(path, text, at, "name the stylesheet in the page")
        return str(rcssmin.cssmin("\n".join(text for _, text in sheets)))


def _key(path: str) -> str:
    """By what a module is known to others; in the next release too, for pages that have files of both."""
    return path.removeprefix("/console/").removesuffix(".js")


def _stem(path: str) -> str:
    """What the packed file of a module or a picture is called by, which no other has."""
    return _key(path).replace("/", "-")


def _place(path: str) -> str:
    """Where a module's exports are when it has run."""
    return f"$m[{json.dumps(_key(path))}]"


def _names(path: str, text: str, match: re.Match[str], names: str) -> Iterator[tuple[str, str]]:
    """The names in braces: each as it is called afterwards, and before."""
    for each in filter(None, (name.strip() for name in names.split(","))):
        found = _NAME.fullmatch(each)
        if found is None:
            raise _unpackable(path, text, match.start(), f"what is this? {each}")
        yield found["to"] or found["from"], found["from"]


def _unpackable(path: str, text: str, at: int, why: str) -> UnpackableError:
    return UnpackableError(f"{path}, line {text.count(chr(10), 0, at) + 1}: {why}")

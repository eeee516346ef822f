// The dialog of a run's segments: their names, and the files of LiveSplit.

import { t } from "../../shared/i18n.js";
import { button, h, newId, openDialog, setText, toast } from "../../shared/ui.js";
import { NotLssError, readLss, writeLss } from "./lss.js";
import { writeBest } from "./personal_best.js";
import { isOver } from "../rules.js";
import { MAX_SEGMENTS, bestFor, namesFromText, noBest } from "./splits.js";

/** A file of splits is far smaller, unless it has pictures. */
const MAX_FILE = 32 * 1024 * 1024;

/** @param {import("../views/speedrun.js").SpeedrunView} view */
export function openSplits(view) {
  const { page } = view;
  const { actions, session } = page;
  const may = actions.may("metadata") && !isOver(page.state);
  const [namesId, problemId, fileId] = [newId("names"), newId("problem"), newId("file")];
  const problem = h("p", { class: "problem", id: problemId, role: "status" });
  const names = h("textarea", {
    class: "textarea run-names",
    id: namesId,
    rows: "8",
    value: view.names.join("\n"),
    disabled: !may,
    "aria-describedby": problemId,
  });
  const file = h("input", {
    type: "file",
    id: fileId,
    "aria-label": t("run.import"),
    class: "visually-hidden",
    accept: ".lss,application/xml,text/xml",
    onchange: () => read(),
  });

  /** Writes the names into the session. */
  async function save(chosen) {
    if (chosen.length === 0 || chosen.length > MAX_SEGMENTS) {
      setText(problem, t("run.namesFault", { most: MAX_SEGMENTS, count: chosen.length }));
      names.focus();
      return false;
    }
    return actions.run(() => session.patchMetadata({ splits: chosen, run: null }));
  }

  /** The run that is shown is not counted once more into times that take the place of the old ones. */
  const counted = () => ({ last: view.best.last, ended: view.best.ended });

  async function read() {
    const [chosen] = file.files;
    file.value = "";
    if (!chosen) return;
    try {
      if (chosen.size > MAX_FILE) throw new NotLssError();
      const run = readLss(new DOMParser().parseFromString(await chosen.text(), "text/xml"));
      const differs = run.best.names.join("\n") !== view.names.join("\n");
      if (differs && !may) {
        setText(problem, t("run.otherSegments"));
        return;
      }
      if (differs && !(await save(run.best.names))) return;
      writeBest(view.title, { ...run.best, game: run.game, category: run.category, ...counted() });
      opened.close();
      view.update();
      toast(t("run.imported", { count: run.best.names.length, game: run.game || view.title }), { seconds: 5 });
    } catch (error) {
      if (!(error instanceof NotLssError)) throw error;
      setText(problem, t("run.noLss", { file: chosen.name }));
    }
  }

  function write() {
    const text = writeLss({ game: view.best.game || view.title, category: view.best.category, best: view.best });
    const url = URL.createObjectURL(new Blob([text], { type: "application/xml" }));
    const link = h("a", { href: url, download: `${view.title.replace(/[^\p{L}\p{N} _-]/gu, "").trim() || "run"}.lss` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  const forget = () => {
    writeBest(view.title, { ...noBest(view.names), game: "", category: "", ...counted() });
    opened.close();
    view.update();
  };

  const apply = async () => {
    const chosen = namesFromText(names.value);
    if (chosen.join("\n") === view.names.join("\n")) {
      opened.close();
      return;
    }
    if (await save(chosen)) {
      writeBest(view.title, { ...view.best, ...bestFor(chosen, view.best) });
      opened.close();
    }
  };

  const opened = openDialog({
    title: t("run.splits"),
    class: "run-dialog",
    body: [
      h("div", { class: "field" }, h("label", { htmlFor: namesId }, t("run.names")), names, problem),
      h("p", { class: "hint" }, t("run.kept")),
      h(
        "div",
        { class: "buttons" },
        file,
        button(t("run.import"), { icon: "upload", onclick: () => file.click() }),
        button(t("run.export"), { icon: "download", onclick: write }),
      ),
    ],
    actions: [
      button(t("run.forget"), { icon: "trash", class: "danger", onclick: forget }),
      may && button(t("run.save"), { class: "primary", onclick: apply }),
    ],
  });
}

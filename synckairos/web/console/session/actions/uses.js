// The button of a session's use: what its preset says that somebody does during the session, such as a bid in an
// auction. The preset is the one that the session's metadata names, or one whose config the session has.

import { toast } from "../../shared/ui.js";
import { t } from "../../shared/i18n.js";
import { formatClock } from "../../shared/time.js";
import { useButton } from "../../shared/uses.js";
import { BOUNCE_MS } from "../device/touch.js";
import { canAdjustClock, hasNext, isOver, ownClocks } from "../rules.js";

/** What the page is about comes first. The presets are asked for after so long. */
const LATER_MS = 400;

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** Whether a session has what a preset's config says. The calls of its use may have given time since then. */
function matches(state, { config, use }) {
  return Object.entries(config).every(([name, value]) => {
    if (name === "total_time_ms" && state.sync_mode === "global" && state.time_per_cycle_ms === null) {
      const more = state.total_time_ms + state.time_used_ms - value;
      return more === 0 || (use.body.add_ms > 0 && more > 0 && more % use.body.add_ms === 0);
    }
    if (name !== "time_control") return same(state[name], value);
    const wanted = typeof value === "string" ? { notation: value } : value;
    return Object.entries(wanted).every(([key, each]) => same(state.time_control?.[key], each));
  });
}

/**
 * The preset whose use a session has.
 *
 * @param {object} state
 * @param {{name: string, config: object, use: object | null}[]} presets The service's.
 * @returns {object | null} One with a use. A config that only names a mode says nothing about the use.
 */
export function presetOf(state, presets) {
  const named = state.metadata?.preset;
  if (typeof named === "string") return presets.find((each) => each.name === named && each.use) ?? null;
  const found = presets.filter(
    (each) => each.use && Object.keys(each.config).length > 1 && matches(state, each),
  );
  return found.length === 1 ? found[0] : null;
}

/** What the call of a preset does, as far as the page knows: the last part of its path. */
const kindOf = ({ method, path }) => `${method} ${path.split("/").pop()}`;

export class Uses {
  /** @param {import("../session.js").Page} page */
  constructor(page) {
    this.page = page;
    /** @type {object | null} */
    this.preset = null;
    this.pressed = -Infinity;
    this.isAsked = false;
  }

  /** Asks the service for its presets, once, where the session may have a use and the page may do it. */
  find() {
    const { rights, state } = this.page;
    const isNamed = typeof state.metadata?.preset === "string";
    const isPlainGame = ownClocks(state) && state.participants.length === 2;
    const may = rights.always("adjust") || rights.ever("switch");
    if (this.isAsked || !may || (!isNamed && isPlainGame)) return;
    this.isAsked = true;
    setTimeout(async () => {
      try {
        this.presets = await this.page.client.presets();
      } catch {
        return; // the page has all it needs but this button
      }
      if (this.page.state) this.page.shell.update();
    }, LATER_MS);
  }

  /** Finds the preset for the newest state. */
  update() {
    this.find();
    this.preset = this.presets ? presetOf(this.page.state, this.presets) : null;
  }

  /** The text of a button that ends the turn; null: it has none of its own. */
  get switchLabel() {
    return this.preset && kindOf(this.preset.use) === "POST switch" ? useButton(this.preset) : null;
  }

  /** The text of the button beside those of every session; null: there is none, or not now. */
  get label() {
    const { actions, state } = this.page;
    if (!this.preset || isOver(state) || kindOf(this.preset.use) !== "PATCH clock") return null;
    if (!actions.may("adjust") || !canAdjustClock(state)) return null;
    const isForRunning = this.preset.use.body.within_ms !== undefined || state.sync_mode === "per_cycle";
    return isForRunning && state.status === "pending" ? null : useButton(this.preset);
  }

  /** Does what the button says. A key that bounces does it once. */
  press() {
    const { actions } = this.page;
    if (this.switchLabel !== null) return hasNext(this.page.state) && this.page.next();
    if (this.label === null) return false;
    const now = performance.now();
    if (now - this.pressed < BOUNCE_MS) return false;
    this.pressed = now;
    this.page.sound.play("press");
    return actions.run(() => this.#give(this.preset.use.body));
  }

  async #give({ add_ms: ms, within_ms: withinMs, reason }) {
    const { people, session, state } = this.page;
    const options = { ...(withinMs !== undefined && { withinMs }), ...(reason && { reason }) };
    // Where each has a clock of their own, everybody gets it.
    const owners = ownClocks(state) ? people.owners.map((each) => each.id) : [null];
    const given = await Promise.all(owners.map((owner) => session.add(owner, ms, options)));
    const time = formatClock(given[0]?.adjusted_ms ?? ms, { plus: true, tenths: false });
    if (given.some((each) => each !== null)) toast(t("uses.given", { what: useButton(this.preset), time }), { seconds: 3 });
    else toast(t("uses.early", { time: formatClock(withinMs, { tenths: false }) }), { seconds: 4 });
  }
}

// What the token of this page allows, so that the page has no button for anything else. The service says it
// when it takes the connection of a session's page (CONNECTED) and when it is asked (`/console/access`), and judges
// each call again.

export class Rights {
  /** What a page may before the service has said what its token allows. */
  static none = new Rights({ auth_mode: "jwt", may: [], player: null });

  /**
   * Asks the service what the tab's token allows.
   *
   * @param {import("/synckairos.js").SyncKairos} client
   * @returns {Promise<Rights>}
   */
  static async ask(client) {
    const { long_clocks: longClocks, ...access } = await client.request("GET", "/console/access");
    return new Rights(access, longClocks);
  }

  /**
   * @param {import("/synckairos.js").Access | null} access null: from a service that does not say it. Then the
   *   page offers everything.
   * @param {boolean} [longClocks] Whether the service takes clocks of more than a day. An older service does not
   *   say it, and judges each config.
   */
  constructor(access, longClocks = true) {
    this.access = access;
    this.longClocks = longClocks;
  }

  /** Whether the service wants a token from everybody. */
  get needsToken() {
    return this.access?.auth_mode === "jwt";
  }

  /** Whether there may be links to this session, and this page may make them. */
  get mayLink() {
    return this.needsToken && this.access.may.includes("link");
  }

  /** Whether there is something to share: where everybody needs a token, an address alone opens nothing. */
  get mayShare() {
    return !this.needsToken || this.mayLink;
  }

  /** The participant as whom this page plays, and as nobody else; null: its token is for no participant. */
  get player() {
    return this.access !== null && !this.access.may.includes("switch")
      ? (this.access.player?.participant_id ?? null)
      : null;
  }

  /** Whether this page may do something, whoever's turn it is. */
  always(action) {
    return this.access === null || this.access.may.includes(action);
  }

  /** Whether this page may do something in the session's current state. A player may in its own turn only. */
  now(action, state) {
    if (this.always(action)) return true;
    const { player } = this.access;
    return (
      player !== null &&
      player.may.includes(action) &&
      player.participant_id === state.active_participant_id &&
      (action === "switch" || state.players_may_pause)
    );
  }

  /** Whether this page may name the participant whose turn is next. */
  mayChooseNext(state) {
    return this.always("switch") || (this.now("switch", state) && state.players_may_choose_next === true);
  }

  /** Whether this page may change something about a participant: the clock, the membership, or whose turn it is. */
  mayLead(state) {
    return (
      ["adjust", "remove", "switch"].some((action) => this.always(action)) ||
      (this.ever("switch") && state.players_may_choose_next === true)
    );
  }

  /** Whether this page may do something now or in another turn. */
  ever(action) {
    return this.always(action) || this.access.player?.may.includes(action) === true;
  }
}

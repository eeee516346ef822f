// What the token of this page allows, so that the page has no button for anything else. The service says it
// when it takes the connection of a session's page (CONNECTED) and when it is asked (`/console/access`), and judges
// each call again.

/** What a player may do as the participant whom its token names, so far as the session allows it. */
const OF_A_PLAYER = ["switch", "pause", "resume"];
/** What everybody may who may see a session. */
const OF_A_VIEWER = ["read"];

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
    /** Whether the page keeps to less than its token allows, because its address says so. */
    this.isCourtesy = false;
  }

  /**
   * The rights of a page that its address makes a player's or a viewer's: of what its token allows, what a
   * token of this role would allow, too. Only the service can keep somebody from more.
   *
   * @param {string | null} participant As whom it plays; null: it only watches.
   * @returns {Rights} These rights, where they are no more than that.
   */
  as(participant) {
    const { access } = this;
    if (!this.leads) return this;
    const may = OF_A_PLAYER.filter((each) => this.always(each));
    const narrow = new Rights(
      {
        auth_mode: access?.auth_mode ?? "none",
        may: OF_A_VIEWER.filter((each) => this.always(each)),
        player: participant !== null && may.length > 0 ? { participant_id: participant, may } : null,
      },
      this.longClocks,
    );
    narrow.isCourtesy = true;
    return narrow;
  }

  /** Whether the service wants a token from everybody. */
  get needsToken() {
    return this.access?.auth_mode === "jwt";
  }

  /** Whether there may be links to this session, and this page may make them. */
  get mayLink() {
    return this.needsToken && this.access.may.includes("link");
  }

  /**
   * Whether there is something to share: where everybody needs a token, an address alone opens nothing, and a
   * player's page shares none that can do more.
   */
  get mayShare() {
    return this.needsToken ? this.mayLink : !this.isCourtesy;
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

  /** Whether this page may do something that a player's or a viewer's may not. */
  get leads() {
    return this.access === null || this.access.may.some((each) => !OF_A_VIEWER.includes(each));
  }

  /** Whether this page may do something now or in another turn. */
  ever(action) {
    return this.always(action) || this.access.player?.may.includes(action) === true;
  }
}

// @ts-check
// Who is logged in: a token in this tab's storage, and what the API says of its caller.

const place = "lanekeeper.session";
const ranks = { viewer: 1, member: 2, admin: 3 };

/** @typedef {import("./types/api").Me} Me */
/** @typedef {import("./types/api").User} User */

/** How api.js gets the session's own calls done; set by it.
 * @type {{call: (method: string, path: string, options?: any) => Promise<{data: any}>}} */
export const wire = { call: () => Promise.reject(new Error("not ready")) };

class Session {
  /** "" without one: in open mode, and until somebody has logged in. */
  token = "";
  /** The user; null in open mode, and for tokens that are nobody's.
   * @type {User | null} */
  user = null;
  /** What GET /me says.
   * @type {Me | null} */
  me = null;
  /** Whether the token came with a link, so that there is nothing to log in with. */
  portal = false;
  /** Whether the session has ended and waits for a login. */
  ended = false;
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** @type {{promise: Promise<void>, resolve: () => void} | null} */
  #renewal = null;

  constructor() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(place) || "{}");
      this.token = kept.token || "";
      this.portal = kept.portal === true;
    } catch {
      // Storage may be closed to us: then the session lasts as long as the page.
    }
    const linked = /^#portal=(.+)$/.exec(location.hash);
    if (linked) {
      history.replaceState(history.state, "", location.pathname + location.search);
      this.#keep(decodeURIComponent(linked[1]), true);
    }
  }

  /** Asks the API who is calling. Returns whether anybody is: false means a login is needed. */
  async start() {
    try {
      const { data } = await wire.call("GET", "/me", { quiet: true });
      this.#know(data);
      return true;
    } catch (error) {
      if (/** @type {any} */ (error).status !== 401) throw error;
      this.#keep("", this.portal);
      return false;
    }
  }

  /** Logs in, for good or over a page whose session has ended. */
  async login(email, password) {
    const before = this.me && this.me.user ? this.me.user.id : null;
    const { data } = await wire.call("POST", "/login", { body: { email, password }, quiet: true });
    this.#keep(data.token, false);
    const me = await wire.call("GET", "/me", { quiet: true });
    if (this.ended && before && before !== data.user.id) { // another's page is no place to go on
      location.assign("/console/");
      return;
    }
    this.#know(me.data);
    this.ended = false;
    const renewal = this.#renewal;
    this.#renewal = null;
    if (renewal) renewal.resolve();
    this.#tell();
  }

  /** Ends all tokens of the caller, and begins again at the login. */
  async logout() {
    try {
      await wire.call("POST", "/logout", { quiet: true });
    } finally {
      this.#keep("", false);
      location.assign("/console/login");
    }
  }

  /** Resolves once somebody has logged in again, after a call with this token was refused. */
  renewed(token) {
    if (token !== this.token) return Promise.resolve(); // somebody has meanwhile
    if (!this.#renewal) {
      let resolve = () => {};
      const promise = new Promise((/** @type {(value?: any) => void} */ done) => { resolve = () => done(); });
      this.#renewal = { promise, resolve };
      this.ended = true;
      this.#tell();
    }
    return this.#renewal.promise;
  }

  /** Whether the caller has at least this role. */
  can(role) {
    return !!this.me && ranks[this.me.role] >= ranks[role];
  }

  /** Whether the caller may make calls of a scope, read, publish or manage, for a tenant
   * that is its own: a portal link has scopes, all others have what their role allows. */
  may(/** @type {string} */ scope) {
    const link = this.me && this.me.portal;
    return link ? link.scopes.some((has) => has === scope) : this.can(scope === "read" ? "viewer" : "member");
  }

  /** The tenant that the caller belongs to, if to one. */
  get tenant() {
    return (this.me && this.me.tenant_id) || "";
  }

  /** Calls fn when the session ends or begins; returns what ends that. */
  onEnded(fn) {
    this.#listeners.add(fn);
    return () => this.#listeners.delete(fn);
  }

  #tell() {
    for (const fn of this.#listeners) fn();
  }

  #know(/** @type {Me} */ me) {
    this.me = me;
    this.user = me.user || null;
  }

  #keep(token, portal) {
    this.token = token;
    this.portal = portal;
    try {
      sessionStorage.setItem(place, JSON.stringify({ token, portal }));
    } catch {
      // as above
    }
  }
}

export const session = new Session();

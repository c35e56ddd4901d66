import { readEvents } from "./events.ts";
import { ProblemError, problemOf } from "./problem.ts";
import type {
  Accepted, BatchItem, BatchMessage, BatchResult, ChangeEndpoint, ChangeTenant, CreateEndpoint, CreatePortalLink, CreateTenant, DeadLetter, Deleted,
  Endpoint, EndpointList, Message, MessageDetail, PortalLink, PublishMessage, Replayed, SelectDeadLetters, Tenant, Token,
} from "./types.ts";
import { pause, wait } from "./wait.ts";

export interface Options {
  /** Where the service is, with or without /api. */
  url: string;
  /** A token or an API key; none in open mode. */
  token?: string;
  /** How often a call is tried in all that may be repeated: 6. */
  attempts?: number;
  /** How long one attempt may take, in milliseconds: 30,000. */
  timeout?: number;
  /** After how many milliseconds without a sign a stream counts as broken: 45,000. */
  silence?: number;
  fetch?: typeof globalThis.fetch;
}

export interface PublishOptions {
  /** The idempotency key; a random one unless given, so that retries are safe. */
  key?: string;
  signal?: AbortSignal;
}

export interface PageOptions {
  /** Where to begin: the `seq` of a message of a history, or a cursor. */
  cursor?: string | number;
  /** How many at most are read at a time. */
  limit?: number;
  /** Of histories: oldest or newest first. */
  order?: "asc" | "desc";
  signal?: AbortSignal;
}

export interface StreamOptions {
  /** The `seq` after which to begin; from now on unless given. */
  after?: number;
  signal?: AbortSignal;
}

/** What became of one message of publishAll. */
export type Result = { id: string } | { error: NonNullable<BatchItem["error"]> };

/** How a call is made. */
interface Call {
  query?: Record<string, string | number | boolean | undefined> | undefined;
  headers?: Record<string, string> | undefined;
  body?: unknown;
  signal?: AbortSignal | undefined;
  /** Whether it may be repeated although it is a POST or a PATCH. */
  repeatable?: boolean;
}

/** How many messages, and bytes, a batch has at most; the service takes 16 MiB. */
const batchSize = 1000;
const batchBytes = 12 << 20;

/**
 * A client of the service. Calls throw a ProblemError for what is refused. Those that may be
 * repeated are, with growing pauses, and not before Retry-After: all but POST and PATCH, and
 * publishing, which sends an idempotency key. It holds no connection, and may be shared.
 */
export class Lanekeeper {
  readonly #options: Required<Options>;

  constructor(options: Options) {
    const url = options.url.replace(/\/+$/, "").replace(/\/api$/, "") + "/api";
    const fetch = options.fetch ?? ((...a: Parameters<typeof globalThis.fetch>) => globalThis.fetch(...a));
    this.#options = { token: "", attempts: 6, timeout: 30_000, silence: 45_000, ...options, url, fetch };
  }

  /** Logs in, and returns a client that calls as the user. */
  async login(email: string, password: string): Promise<Lanekeeper> {
    const token = await this.call<Token>("POST", "/login", { body: { email, password } });
    return new Lanekeeper({ ...this.#options, token: token.token });
  }

  createTenant(tenant: CreateTenant, options: PublishOptions = {}): Promise<Tenant> {
    return this.call("POST", "/tenants", { body: tenant, signal: options.signal, ...keyed(options.key) });
  }

  getTenant(id: string): Promise<Tenant> {
    return this.call("GET", path("tenants", id));
  }

  updateTenant(id: string, change: ChangeTenant): Promise<Tenant> {
    return this.call("PATCH", path("tenants", id), { body: change });
  }

  setWorkers(id: string, workers: number): Promise<{ tenant_id: string; workers: number }> {
    return this.call("PUT", `${path("tenants", id)}/config/concurrency`, { body: { workers } });
  }

  /** Deletes a tenant with all that it has; resolves also when that goes on for a while. */
  async deleteTenant(id: string): Promise<void> {
    await this.call("DELETE", path("tenants", id));
  }

  /** Makes a link to the console's pages of one tenant, to be embedded; see docs/portal.md. */
  createPortalLink(tenant: string, link: CreatePortalLink = {}): Promise<PortalLink> {
    return this.call("POST", `${path("tenants", tenant)}/portal-links`, { body: link, repeatable: true });
  }

  /** Ends all portal links of a tenant that were made until now. */
  async revokePortalLinks(tenant: string): Promise<void> {
    await this.call("DELETE", `${path("tenants", tenant)}/portal-links`);
  }

  /** The tenants that the caller may see. */
  tenants(options: PageOptions = {}): AsyncGenerator<Tenant, void, undefined> {
    return this.#pages("/tenants", {}, options);
  }

  /** Publishes a message. When it resolves, the broker has confirmed it. */
  publish(tenant: string, message: PublishMessage, options: PublishOptions = {}): Promise<Accepted> {
    return this.call("POST", "/messages", { body: message, signal: options.signal, ...keyed(options.key, tenant) });
  }

  /**
   * Publishes many messages, in batches. Those that are refused for now are sent again, each
   * with its idempotency key, which is a random one unless given. The results are in order.
   */
  async publishAll(tenant: string, messages: readonly BatchMessage[], options: { signal?: AbortSignal } = {}): Promise<Result[]> {
    const results: Result[] = new Array(messages.length);
    const all = messages.map((m, at) => ({ at, message: { ...m, idempotency_key: m.idempotency_key ?? crypto.randomUUID() } }));
    for (const batch of batches(all)) {
      let open = batch;
      for (let n = 0; open.length > 0; n++) {
        const answer: BatchResult = await this.call("POST", "/messages/batch", {
          body: { messages: open.map((o) => o.message) }, headers: { "X-Tenant-ID": tenant }, signal: options.signal, repeatable: true,
        });
        const again: typeof open = [];
        for (const item of answer.results) {
          const sent = open[item.index]!;
          if (!item.error) results[sent.at] = { id: item.id! };
          else if ((item.error.status === 429 || item.error.status === 503) && n + 1 < this.#options.attempts) again.push(sent);
          else results[sent.at] = { error: item.error };
        }
        open = again;
        if (open.length > 0) await wait(pause(n), options.signal);
      }
    }
    return results;
  }

  getMessage(tenant: string, id: string): Promise<MessageDetail> {
    return this.call("GET", path("messages", id), { headers: { "X-Tenant-ID": tenant } });
  }

  /** The tenant's stored messages, page by page, to the end that the history has by then. */
  history(tenant: string, options: PageOptions = {}): AsyncGenerator<Message, void, undefined> {
    return this.#pages("/messages", { "X-Tenant-ID": tenant }, options);
  }

  /**
   * The tenant's messages as they are stored. A stream that breaks is opened again where it
   * broke, so none is missed and none comes twice. It ends by the signal, or by leaving the
   * loop, and throws what will not get better: a ProblemError, such as 401 or 404.
   */
  async *stream(tenant: string, options: StreamOptions = {}): AsyncGenerator<Message, void, undefined> {
    let after = options.after;
    for (let n = 0; ; n++) {
      const silent = new AbortController();
      const signal = options.signal ? AbortSignal.any([options.signal, silent.signal]) : silent.signal;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const alive = () => {
        clearTimeout(timer);
        timer = setTimeout(() => silent.abort(new Error("the stream is silent")), this.#options.silence);
      };
      let retryAfter = 0;
      try {
        alive();
        const headers: Record<string, string> = { "X-Tenant-ID": tenant, Accept: "text/event-stream" };
        if (after !== undefined) headers["Last-Event-ID"] = String(after);
        const response = await this.#send("GET", "/messages/stream", { headers }, signal);
        if (!response.ok) throw await problemOf(response);
        for await (const event of readEvents(response.body!)) {
          alive();
          if (!event) continue;
          n = 0;
          if (event.id !== "") after = Number(event.id); // where it begins, before there is a message
          if (event.data === "") continue;
          clearTimeout(timer); // the reader may take its time
          yield JSON.parse(event.data) as Message;
          alive();
        }
      } catch (error) {
        options.signal?.throwIfAborted();
        if (error instanceof ProblemError ? !error.temporary : !lost(error, silent.signal)) throw error;
        retryAfter = error instanceof ProblemError ? (error.retryAfter ?? 0) : 0;
      } finally {
        clearTimeout(timer);
        silent.abort();
      }
      await wait(Math.max(retryAfter, pause(n)), options.signal);
    }
  }

  createEndpoint(tenant: string, endpoint: CreateEndpoint, options: PublishOptions = {}): Promise<Endpoint> {
    return this.call("POST", `${path("tenants", tenant)}/endpoints`, { body: endpoint, signal: options.signal, ...keyed(options.key) });
  }

  /** All endpoints of a tenant. */
  async endpoints(tenant: string): Promise<Endpoint[]> {
    return (await this.call<EndpointList>("GET", `${path("tenants", tenant)}/endpoints`)).data;
  }

  getEndpoint(tenant: string, id: string): Promise<Endpoint> {
    return this.call("GET", path("tenants", tenant, "endpoints", id));
  }

  updateEndpoint(tenant: string, id: string, change: ChangeEndpoint): Promise<Endpoint> {
    return this.call("PATCH", path("tenants", tenant, "endpoints", id), { body: change });
  }

  async deleteEndpoint(tenant: string, id: string): Promise<void> {
    await this.call("DELETE", path("tenants", tenant, "endpoints", id));
  }

  /** The tenant's dead letters, oldest first. */
  deadLetters(tenant: string, options: PageOptions = {}): AsyncGenerator<DeadLetter, void, undefined> {
    return this.#pages("/dead-letters", { "X-Tenant-ID": tenant }, options);
  }

  replayDeadLetters(tenant: string, which: SelectDeadLetters): Promise<Replayed> {
    return this.call("POST", "/dead-letters/replay", { body: which, headers: { "X-Tenant-ID": tenant } });
  }

  purgeDeadLetters(tenant: string, which: SelectDeadLetters): Promise<Deleted> {
    return this.call("DELETE", "/dead-letters", { body: which, headers: { "X-Tenant-ID": tenant } });
  }

  /** Makes any call of the API; the path begins after /api. Resolves to undefined for no content. */
  async call<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const repeatable = call.repeatable ?? (method !== "POST" && method !== "PATCH");
    for (let n = 0; ; n++) {
      try {
        const limit = AbortSignal.timeout(this.#options.timeout);
        const response = await this.#send(method, path, call, call.signal ? AbortSignal.any([call.signal, limit]) : limit);
        if (!response.ok) throw await problemOf(response);
        const text = await response.text();
        return (text === "" ? undefined : JSON.parse(text)) as T;
      } catch (error) {
        call.signal?.throwIfAborted();
        const temporary = error instanceof ProblemError ? error.temporary : lost(error);
        if (!repeatable || !temporary || n + 1 >= this.#options.attempts) throw error;
        await wait(Math.max(error instanceof ProblemError ? (error.retryAfter ?? 0) : 0, pause(n)), call.signal);
      }
    }
  }

  #send(method: string, path: string, call: Call, signal: AbortSignal): Promise<Response> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) query.set(name, String(value));
    }
    const headers: Record<string, string> = { ...call.headers };
    if (this.#options.token) headers["Authorization"] = `Bearer ${this.#options.token}`;
    if (call.body !== undefined) headers["Content-Type"] = "application/json";
    const url = `${this.#options.url}${path}?${query}`.replace(/\?$/, "");
    return this.#options.fetch(url, { method, headers, signal, body: call.body === undefined ? null : JSON.stringify(call.body) });
  }

  async *#pages<T>(path: string, headers: Record<string, string>, { cursor, limit, order, signal }: PageOptions): AsyncGenerator<T, void, undefined> {
    for (;;) {
      const page = await this.call<{ data: T[]; next_cursor: string }>("GET", path, { headers, query: { cursor, limit, order }, signal });
      yield* page.data;
      if (page.next_cursor === "") return;
      cursor = page.next_cursor;
    }
  }
}

/** Divides messages into batches that the service takes. */
function* batches<T extends { message: BatchMessage }>(all: readonly T[]): Generator<T[], void, undefined> {
  let batch: T[] = [];
  let size = 0;
  for (const one of all) {
    const more = JSON.stringify(one.message).length * 3; // bytes, at most
    if (batch.length > 0 && (batch.length === batchSize || size + more > batchBytes)) {
      yield batch;
      batch = [];
      size = 0;
    }
    batch.push(one);
    size += more;
  }
  if (batch.length > 0) yield batch;
}

/** Whether an error is of the connection, which the next one may not have. */
function lost(error: unknown, silent?: AbortSignal): boolean {
  return error instanceof TypeError || silent?.aborted === true || (error instanceof DOMException && error.name === "TimeoutError");
}

/** What makes a POST safe to repeat. */
function keyed(key: string | undefined, tenant?: string): Pick<Call, "headers" | "repeatable"> {
  return { headers: { "Idempotency-Key": key ?? crypto.randomUUID(), ...(tenant === undefined ? {} : { "X-Tenant-ID": tenant }) }, repeatable: true };
}

function path(...parts: string[]): string {
  return parts.map((part) => `/${encodeURIComponent(part)}`).join("");
}

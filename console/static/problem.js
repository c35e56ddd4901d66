// @ts-check

/** @typedef {{pointer: string, message: string}} FieldProblem */

/** What went wrong with a call, as the problem document says it (RFC 9457). */
export class Problem extends Error {
  /**
   * @param {{status: number, code: string, title?: string, detail?: string, errors?: FieldProblem[],
   *   requestId?: string, retryAfter?: number}} p retryAfter is in seconds
   */
  constructor(p) {
    super(p.detail || p.title || p.code);
    this.name = "Problem";
    this.status = p.status;
    this.code = p.code;
    this.title = p.title || "";
    this.detail = p.detail || p.title || p.code;
    this.errors = p.errors || [];
    this.requestId = p.requestId || "";
    this.retryAfter = p.retryAfter || 0;
  }

  /** Whether the same call may succeed later by itself. */
  get passing() {
    return this.code === "unreachable" || this.status === 429 || this.status >= 500;
  }

  /** What is wrong with a field of the body, by its JSON pointer; "" for nothing. */
  at(pointer) {
    return this.errors.filter((e) => e.pointer === pointer).map((e) => e.message).join("; ");
  }
}

/** The problem of a call that nothing answered. */
export function unreachable(detail = "Lanekeeper does not answer.") {
  return new Problem({ status: 0, code: "unreachable", title: "Unreachable", detail });
}

/**
 * The problem that an answer is.
 * @param {Response} answer
 * @param {any} body what it says, where it is JSON
 */
export function problemOf(answer, body) {
  const document = body !== null && typeof body === "object" && typeof body.code === "string" ? body : null;
  if (!document && answer.status >= 502) { // that of a proxy
    return unreachable(`Lanekeeper does not answer: something before it says ${answer.status}.`);
  }
  return new Problem({
    status: answer.status,
    code: document ? document.code : `http_${answer.status}`,
    title: document ? document.title : answer.statusText,
    detail: document ? document.detail : `The answer was ${answer.status}, without a reason.`,
    errors: document ? document.errors : [],
    requestId: (document && document.request_id) || answer.headers.get("X-Request-ID") || "",
    retryAfter: Number(answer.headers.get("Retry-After")) || 0,
  });
}

/** Any error as a Problem, for pages to show. */
export function asProblem(error) {
  if (error instanceof Problem) return error;
  return new Problem({ status: 0, code: "console_error", title: "Error of the console", detail: String((error && error.message) || error) });
}

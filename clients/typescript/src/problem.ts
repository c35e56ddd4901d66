import type { FieldError, Problem, ProblemCode } from "./types.ts";

/** An answer of the service that is an error; `code` says which, `detail` is for people. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly status: number;
  /** A code of a later version than this client's is possible. */
  readonly code: ProblemCode | (string & {});
  readonly requestId: string;
  readonly errors: FieldError[];
  /** How long to wait before trying again, in milliseconds, where the answer says so. */
  readonly retryAfter: number | undefined;

  constructor(problem: Pick<Problem, "status" | "detail"> & Partial<Problem>, retryAfter?: number) {
    super(problem.detail);
    this.status = problem.status;
    this.code = problem.code ?? "unknown";
    this.requestId = problem.request_id ?? "";
    this.errors = problem.errors ?? [];
    this.retryAfter = retryAfter;
  }

  /** Whether the same call may succeed later. */
  get temporary(): boolean {
    return this.status === 408 || this.status === 429 || this.status === 502 || this.status === 503 || this.status === 504;
  }
}

/** Returns the error that an answer is. */
export async function problemOf(response: Response): Promise<ProblemError> {
  const text = await response.text();
  const seconds = Number(response.headers.get("Retry-After") ?? "");
  const retryAfter = response.headers.has("Retry-After") && Number.isFinite(seconds) ? seconds * 1000 : undefined;
  try {
    const problem = JSON.parse(text) as Problem;
    if (typeof problem.code === "string") return new ProblemError(problem, retryAfter);
  } catch {
    // something in front of the service answered
  }
  return new ProblemError({ status: response.status, detail: `The answer is ${response.status}, and no problem document.` }, retryAfter);
}

/** What came is not what the service signed, or is too old. */
export class WebhookError extends Error {
  override readonly name = "WebhookError";
}

export interface VerifyOptions {
  /** How far the time of the delivery may be from now, in seconds: 300. */
  tolerance?: number;
  /** The time, in milliseconds. */
  now?: number;
}

type Headers = { get(name: string): string | null } | Record<string, string | string[] | undefined>;

/**
 * Verifies a delivery (Standard Webhooks), and returns its payload. The body is what came,
 * byte for byte; secrets are one, or several during a rotation. Throws a WebhookError.
 */
export async function verifyWebhook(
  secrets: string | readonly string[], headers: Headers, body: string | Uint8Array, options: VerifyOptions = {},
): Promise<unknown> {
  const id = header(headers, "webhook-id");
  const timestamp = header(headers, "webhook-timestamp");
  const signatures = header(headers, "webhook-signature").split(" ").flatMap((s) => (s.startsWith("v1,") ? [s.slice(3)] : []));
  const now = (options.now ?? Date.now()) / 1000;
  if (!/^\d+$/.test(timestamp) || Math.abs(now - Number(timestamp)) > (options.tolerance ?? 300)) {
    throw new WebhookError("the delivery is too old, or from the future");
  }
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const head = new TextEncoder().encode(`${id}.${timestamp}.`);
  const signed = new Uint8Array(head.length + bytes.length);
  signed.set(head);
  signed.set(bytes, head.length);
  for (const secret of typeof secrets === "string" ? [secrets] : secrets) {
    const key = await crypto.subtle.importKey("raw", decode(secret.replace(/^whsec_/, "")), { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
    for (const signature of signatures) {
      if (await crypto.subtle.verify("HMAC", key, decode(signature), signed)) return JSON.parse(new TextDecoder().decode(bytes));
    }
  }
  throw new WebhookError("no signature is of one of the secrets");
}

function header(headers: Headers, name: string): string {
  const value = typeof headers.get === "function" ? headers.get(name) : (headers as Record<string, string | string[] | undefined>)[name];
  if (typeof value !== "string" || value === "") throw new WebhookError(`the header ${name} is missing`);
  return value;
}

function decode(base64: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  } catch {
    throw new WebhookError("a secret or a signature is not base64");
  }
}

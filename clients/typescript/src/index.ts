export { Lanekeeper, type Options, type PublishOptions, type PageOptions, type StreamOptions, type Result } from "./client.ts";
export { ProblemError } from "./problem.ts";
export { verifyWebhook, WebhookError, type VerifyOptions } from "./webhook.ts";
export type * from "./types.ts";

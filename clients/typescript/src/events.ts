/** One event of a stream ("Server-sent events" of the HTML standard). */
export interface ServerEvent {
  /** That of the last event which had one. */
  id: string;
  /** "" for what is no event, and may have an id nevertheless: where the stream begins. */
  data: string;
}

/** Reads events until the body ends. Comments come as undefined: the stream lives. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent | undefined, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let id = "";
  let data: string[] = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return; // an event without the blank line at its end counts for nothing
      text += decoder.decode(value, { stream: true });
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const colon = line.indexOf(":");
        const field = colon < 0 ? line : line.slice(0, colon);
        const said = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (line === "") {
          yield { id, data: data.join("\n") };
          data = [];
        } else if (colon === 0) {
          yield undefined;
        } else if (field === "id") {
          id = said;
        } else if (field === "data") {
          data.push(said);
        }
      }
    }
  } finally {
    await reader.cancel().catch(() => {}); // the connection may have gone
  }
}

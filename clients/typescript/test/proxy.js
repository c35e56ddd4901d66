import http from "node:http";

/**
 * A proxy in front of the service. For each request `decide(request, n)` says what becomes of it:
 * "pass", "lose" (it reaches the service, and its answer never comes), an object
 * {status, headers, body} that is answered instead, {cut: bytes}, after which the connection breaks,
 * or {after: milliseconds}, likewise.
 */
export async function startProxy(target, decide) {
  const requests = [];
  const server = http.createServer((request, response) => {
    requests.push({ method: request.method, url: request.url, headers: request.headers, at: performance.now() });
    const what = decide(request, requests.length);
    if (typeof what === "object" && what.status) {
      request.resume();
      response.writeHead(what.status, what.headers).end(what.body);
      return;
    }
    const onward = http.request(new URL(request.url, target), { method: request.method, headers: { ...request.headers, host: new URL(target).host } }, (answer) => {
      if (what === "lose") {
        answer.resume();
        request.socket.destroy();
        return;
      }
      response.writeHead(answer.statusCode, answer.headers);
      response.flushHeaders();
      if (what.after) setTimeout(() => request.socket.destroy(), what.after);
      let seen = 0;
      answer.on("data", (chunk) => {
        const left = (what.cut ?? Infinity) - seen;
        seen += chunk.length;
        if (seen < (what.cut ?? Infinity)) response.write(chunk);
        else if (left > 0) response.write(chunk.subarray(0, left), () => request.socket.destroy());
      });
      answer.on("end", () => response.end());
      answer.on("error", () => request.socket.destroy());
    });
    onward.on("error", () => request.socket.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    requests,
    close: () => (server.closeAllConnections(), new Promise((resolve) => server.close(resolve))),
  };
}

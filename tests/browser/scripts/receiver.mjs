// An endpoint of the test's own, which answers as it is told.
import http from "node:http";

/** Starts a receiver. Its status, answer and delay may be changed at any time; got has what came. */
export async function receiver() {
  const it = { status: 200, answer: "thanks", delay: 0, got: [], url: "", close: () => new Promise((done) => { server.closeAllConnections(); server.close(done); }) };
  const server = http.createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      it.got.push({ url: `http://${request.headers.host}${request.url}`, headers: request.headers, body: Buffer.concat(parts).toString() });
      setTimeout(() => {
        response.statusCode = it.status;
        response.end(it.answer);
      }, it.delay);
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  it.url = `http://127.0.0.1:${server.address().port}/hooks`;
  return it;
}

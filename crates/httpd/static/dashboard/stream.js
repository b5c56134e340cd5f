/**
 * What the server tells without end: server-sent events, read by `fetch`, because an `EventSource` cannot
 * show a token. While nobody sees the page nothing is asked for.
 */

/** The server wants a token, or another one. */
export class Closed extends Error {}

/** The token, in this tab alone. */
export const token = {
  get() { return sessionStorage.getItem(NAME); },
  set(text) { sessionStorage.setItem(NAME, text); },
  forget() { sessionStorage.removeItem(NAME); },
};

/** Asks once. */
export async function ask(path, signal) {
  const headers = token.get() === null ? {} : { Authorization: `Bearer ${token.get()}` };
  const answer = await fetch(path, { headers, signal, cache: "no-store", credentials: "omit" });
  if (answer.status === 401) throw new Closed(await sentence(answer));
  if (!answer.ok) throw new Error(await sentence(answer));
  return answer;
}

/** Calls `seen` with the data of each event of `path`, until `signal` ends it or the connection breaks. */
export async function watch(path, signal, seen) {
  const answer = await ask(path, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const lines = event.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length > 0) seen(JSON.parse(lines.map((line) => line.slice(5)).join("\n")));
    }
  }
}

async function sentence(answer) {
  try {
    const { error } = await answer.json();
    return String(error);
  } catch {
    return `the server answers ${answer.status}`;
  }
}

const NAME = "hairpin-token";

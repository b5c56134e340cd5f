/** The table of top talkers, and what is wanted of it. */

import { at, element } from "./elements.js";
import { bits, bytes, number, span } from "./format.js";
import { legs } from "./quality.js";

const KINDS = [["sessions", "Sessions"], ["users", "Users"], ["clients", "Client networks"], ["peers", "Peers"]];

/** The kind that is shown. */
let kind = "sessions";

/** Calls `changed` whenever something else is wanted. */
export function begin(changed) {
  const buttons = KINDS.map(([name, text]) => {
    const button = element("button", { type: "button", "aria-pressed": String(name === kind) }, text);
    button.addEventListener("click", () => {
      kind = name;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      changed();
    });
    return button;
  });
  at("kinds").append(...buttons);
  at("sort").addEventListener("change", changed);
  let typing;
  at("filter").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(changed, 300);
  });
  at("wanted").addEventListener("submit", (event) => event.preventDefault());
}

/** The query for what is wanted. */
export function query() {
  const wanted = { by: kind, sort: at("sort").value, filter: at("filter").value, limit: SHOWN };
  return new URLSearchParams(wanted).toString();
}

export function show({ top, talkers, silent_shards: silent = [] }) {
  const sessions = kind === "sessions";
  const names = sessions
    ? ["User and session", "To peers", "From peers", "Until now"]
    : [HEADINGS[kind], "Sessions", "To peers", "From peers", "Until now"];
  const heads = names.map((name) => element("th", { scope: "col" }, name));
  heads.at(-1).className = "wide-only";
  if (sessions) heads.push(...["Client's network", "Peer's network"].map((name) => element("th", { scope: "col", class: "wide-only" }, name)));
  const rows = top.map((talker) => sessions && talker.session ? session(talker) : sum(talker));
  at("talkers").replaceChildren(
    element("thead", {}, element("tr", {}, ...heads)),
    element("tbody", {}, ...rows),
  );
  const missing = silent.length > 0 ? ` Shards that do not answer: ${silent.join(", ")}.` : "";
  const note = talkers === 0 ? "Nobody." : `${number(top.length)} of ${number(talkers)}.`;
  at("talkers-note").textContent = note + (kind === "peers" ? " A session counts for each of its peers." : "") + missing;
}

function session(talker) {
  const { id, realm, user, transport, client, peers, age, quality } = talker.session;
  const about = `${id} · ${transport} from ${client} · ${span(age)}${peers.length > 0 ? ` · to ${peers.join(", ")}` : ""}`;
  const { badges, cells } = legs(quality);
  return row(talker,
    element("th", { scope: "row" }, user, element("small", { class: "quiet" }, `${realm} · ${about}`), ...badges),
    ...rates(talker),
    ...cells.map((text) => element("td", { class: "wide-only leg" }, text)));
}

function sum(talker) {
  const realm = talker.realm === undefined ? [] : [element("small", { class: "quiet" }, talker.realm)];
  return row(talker,
    element("th", { scope: "row" }, talker.name, ...realm),
    element("td", {}, number(talker.sessions)),
    ...rates(talker));
}

function row({ sent, received }, ...cells) {
  return element("tr", { class: sent.bits + received.bits > 0 ? "now" : "still" }, ...cells);
}

function rates({ sent, received, bytes: until }) {
  const [first, second, third] = [bits(sent.bits), bits(received.bits), bytes(until)];
  return [element("td", {}, first), element("td", {}, second), element("td", { class: "wide-only" }, third)];
}

const HEADINGS = { users: "User", clients: "Network", peers: "Peer" };
/** How many rows the table has at most. */
const SHOWN = 12;

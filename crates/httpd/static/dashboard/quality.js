/** The quality of calls, in words. */

import { element } from "./elements.js";
import { percent } from "./format.js";

const LEGS = [["client", "the client's network"], ["peer", "the peer's network"]];

/** The badges of a session, and the cells for its legs. */
export function legs(quality) {
  if (quality == null) return { badges: [], cells: LEGS.map(() => "–") };
  const bad = LEGS.filter(([leg]) => quality[leg].bad);
  return {
    badges: bad.map(([leg, whose]) =>
      element("span", { class: "badge bad" }, `bad: ${whose} (${quality[leg].bad_measures?.join(", ") ?? ""})`)),
    cells: LEGS.map(([leg]) => measures(quality[leg])),
  };
}

function measures({ round_trip_ms: trip, loss, jitter_ms: jitter }) {
  const known = [];
  if (trip !== undefined) known.push(`${Math.round(trip)} ms`);
  if (loss !== undefined) known.push(`${percent(loss)} lost`);
  if (jitter !== undefined) known.push(`jitter ${Math.round(jitter)} ms`);
  return known.join(", ") || "–";
}

/** All calls together. */
export function summary(quality) {
  if (quality == null) return [element("p", { class: "quiet" }, "Nothing is measured now.")];
  const { measured, bad_clients: clients, bad_peers: peers } = quality;
  const row = (name, count) => element("li", {}, name,
    element("span", { class: `badge ${count > 0 ? "bad" : "good"}` }, count > 0 ? `${count} of ${measured} bad` : `all ${measured} good`));
  return [
    element("ul", { class: "plain" }, row("between clients and this server", clients), row("between this server and peers", peers)),
  ];
}

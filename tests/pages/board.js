// The board of the host that serves a page, and the waiting that pages do.

/** Pins something to the board. */
export async function pin(name, value) {
  await fetch(`/board/${name}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(value),
  });
}

/** Waits until it is pinned to the board. */
export async function read(name) {
  for (;;) {
    const value = await (await fetch(`/board/${name}`)).json();
    if (value !== null) return value;
    await sleep(200);
  }
}

export function once(target, event) {
  return new Promise((resolve) => target.addEventListener(event, resolve, { once: true }));
}

export function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

// Chat and files, beside the pictures.

import { Files } from "./hairpin-files.js";
import { element } from "./tiles.js";

/** The panel. It opens and closes by its buttons, and counts what came while it was closed. */
export class Chat {
  #room;
  #files;
  #unread = 0;
  #parts;

  constructor(parts) {
    this.#parts = parts;
    const { opener, closer, form, words, attach, file } = parts;
    opener.addEventListener("click", () => this.toggle());
    closer.addEventListener("click", () => this.toggle(false));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say(words.value.trim());
      words.value = "";
    });
    attach.addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      this.sendFiles(file.files);
      file.value = "";
    });
    parts.panel.addEventListener("keydown", ({ key }) => key === "Escape" && this.toggle(false));
  }

  begin(room) {
    this.#room = room;
    this.#files = new Files(room);
    this.#parts.log.replaceChildren();
    room.addEventListener("message", ({ member, data }) => {
      if (typeof data?.text === "string") this.#add(member.name, data.text.slice(0, MOST_LETTERS));
    });
    this.#files.addEventListener("offer", ({ transfer }) => this.#offered(transfer));
  }

  toggle(isOpen = this.#parts.panel.hidden) {
    const { panel, opener, words, log } = this.#parts;
    if (panel.hidden !== isOpen) return;
    panel.hidden = !isOpen;
    opener.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) {
      this.#count(0);
      words.focus();
      log.scrollTop = log.scrollHeight;
    } else {
      opener.focus();
    }
  }

  /** A line about the call itself. */
  note(text) {
    this.#append(element("li", "event", text));
  }

  /** Offers all members these files. */
  sendFiles(files) {
    if (files.length === 0) return;
    this.toggle(true);
    const members = [...this.#room.members.values()];
    if (members.length === 0) return this.note("Nobody else is here to send a file to.");
    for (const file of files) for (const member of members) this.#sending(this.#files.send(member, file));
  }

  #say(text) {
    if (!text) return;
    this.#room.send({ text });
    this.#add(null, text);
  }

  #add(from, text) {
    const item = element("li", from === null ? "own" : "");
    if (from !== null) item.append(element("span", "from", from));
    item.append(element("span", "text", text));
    this.#append(item);
    if (from !== null) this.#count(this.#unread + 1);
  }

  #sending(transfer) {
    const item = element("li", "own file");
    this.#follow(transfer, item, {
      title: transfer.name,
      offered: `waits for ${transfer.member.name}`,
      complete: `${transfer.member.name} has it`,
      declined: `${transfer.member.name} does not want it`,
    });
  }

  #offered(transfer) {
    const item = element("li", "file");
    item.append(element("span", "from", transfer.member.name));
    this.#follow(transfer, item, {
      title: transfer.name,
      offered: sizeInWords(transfer.size),
      complete: `whole, ${sizeInWords(transfer.size)}`,
      declined: "declined",
    });
    this.#count(this.#unread + 1);
  }

  /** Shows how a file goes. */
  #follow(transfer, item, words) {
    const state = element("span", "quiet");
    const progress = Object.assign(element("progress"), { max: transfer.size || 1, hidden: true });
    progress.setAttribute("aria-label", `${words.title}: how much of it has passed`);
    const actions = element("div", "actions");
    const show = () => {
      progress.value = transfer.done;
      progress.hidden = transfer.state !== "moving";
      state.textContent = words[transfer.state] ?? TRANSFER[transfer.state](transfer);
      item.dataset.state = transfer.state;
    };
    const action = (text, act) => {
      const button = Object.assign(element("button", "", text), { type: "button" });
      button.addEventListener("click", act);
      actions.append(button);
      return button;
    };
    if (transfer.isIncoming) {
      const receive = action("Receive", () => {
        receive.remove();
        transfer.accept();
      });
    }
    const cancel = action(transfer.isIncoming ? "Decline" : "Cancel", () => transfer.cancel());
    transfer.addEventListener("progress", () => {
      cancel.textContent = "Cancel";
      show();
    });
    transfer.addEventListener("end", () => {
      actions.replaceChildren();
      if (transfer.blob) actions.append(saving(transfer));
      show();
    });
    show();
    item.append(element("strong", "", words.title), " ", state, progress, actions);
    this.#append(item);
  }

  #append(item) {
    const { log } = this.#parts;
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    log.append(item);
    while (log.childElementCount > MOST_LINES) log.firstElementChild.remove();
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  }

  #count(unread) {
    const { panel, badge, opener } = this.#parts;
    this.#unread = panel.hidden ? unread : 0;
    badge.hidden = this.#unread === 0;
    badge.textContent = this.#unread;
    opener.setAttribute("aria-label", this.#unread ? `Chat and files, ${this.#unread} new` : "Chat and files");
  }
}

/** A link that saves a file. It has no type of its own, so that no browser shows it as a page of ours. */
function saving({ blob, name }) {
  const href = URL.createObjectURL(new Blob([blob], { type: "application/octet-stream" }));
  return Object.assign(element("a", "button", "Save"), { href, download: name });
}

function sizeInWords(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  return bytes < 1024 * 1024 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

const TRANSFER = {
  moving: ({ done, size }) => `${Math.floor((100 * done) / (size || 1))} % of ${sizeInWords(size)}`,
  cancelled: () => "ended before it was whole",
  lost: ({ member }) => `${member.name} left before it was whole`,
};
const MOST_LETTERS = 4000;
const MOST_LINES = 1000;

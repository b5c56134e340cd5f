// The door: what is seen before a call, and after one.

import { element } from "./tiles.js";

const at = (id) => document.getElementById(id);

/** The form. It emits `join`. */
export class Door extends EventTarget {
  #media;

  constructor(media) {
    super();
    this.#media = media;
    const { room, name } = wished();
    at("room").value = room ?? newRoom();
    at("name").value = name ?? remembered("name");
    if (room) at("door-title").textContent = `Join ${room}`;
    at("door-relay").checked = remembered("relay") === "yes";
    at("door").addEventListener("submit", (event) => {
      event.preventDefault();
      remember("name", this.name);
      remember("relay", at("door-relay").checked ? "yes" : "");
      this.#wait(true);
      this.dispatchEvent(new Event("join"));
    });
    media.name = this.name;
    at("name").addEventListener("input", () => (media.name = this.name));
    media.addEventListener("change", () => this.#show());
    media.addEventListener("note", () => {
      at("media-note").textContent = media.note;
      at("media-note").hidden = media.note === "";
    });
  }

  get name() {
    return at("name").value.trim() || "Guest";
  }

  /** What the visitor wants to enter, as options of a room. */
  get options() {
    const secret = at("secret").value || undefined;
    return { room: at("room").value, name: this.name, secret, relayOnly: at("door-relay").checked };
  }

  close() {
    at("start").hidden = true;
    at("preview").srcObject = null;
    this.#wait(false);
    at("door-error").hidden = true;
  }

  /** Opens the door again, with a sentence about why. */
  open(title, sentence = "", needsSecret = false) {
    this.#wait(false);
    at("start").hidden = false;
    at("door-title").textContent = title;
    at("join").textContent = "Join again";
    this.complain(sentence);
    if (needsSecret) at("secret-field").hidden = false;
    this.#show();
    at(needsSecret ? "secret" : "join").focus();
  }

  complain(sentence) {
    at("door-error").textContent = sentence;
    at("door-error").hidden = sentence === "";
  }

  #wait(isWaiting) {
    at("join").disabled = isWaiting;
    if (isWaiting) at("join").textContent = "Joining …";
  }

  #show() {
    if (at("start").hidden) return;
    at("preview").hidden = this.#media.isCameraOff;
    at("preview-off").hidden = !this.#media.isCameraOff;
    at("preview").classList.toggle("mirrored", !this.#media.isDrawn);
    at("preview").srcObject = this.#media.stream;
  }
}

/** Keeps the lists of devices of the page as they are, and takes what is chosen from them. */
export function offerDevices(media) {
  const lists = [...document.querySelectorAll("[data-devices]")];
  const fill = async () => {
    const devices = await media.devices();
    for (const list of lists) {
      const before = list.value;
      const fitting = devices.filter(({ kind }) => kind === list.dataset.devices);
      const options = fitting.map(({ deviceId, label }, index) => {
        return Object.assign(element("option", "", label || `Device ${index + 1}`), { value: deviceId });
      });
      if (options.length === 0) options.push(element("option", "", "None"));
      list.replaceChildren(...options);
      list.disabled = fitting.length === 0;
      if (fitting.some(({ deviceId }) => deviceId === before)) list.value = before;
    }
  };
  for (const list of lists) {
    list.addEventListener("change", () => {
      for (const other of lists) if (other.dataset.devices === list.dataset.devices) other.value = list.value;
      media.choose(list.dataset.devices, list.value);
    });
  }
  media.addEventListener("note", fill);
  navigator.mediaDevices?.addEventListener?.("devicechange", fill);
}

/** The room and the name that the link asks for. */
function wished() {
  const wishes = new URLSearchParams(location.hash.slice(1));
  return { room: wishes.get("room"), name: wishes.get("name") };
}

/** A name that is easy to say, with an end that nobody guesses. */
function newRoom() {
  const [first, second, ...rest] = crypto.getRandomValues(new Uint32Array(8));
  const end = rest.map((number) => LETTERS[number % LETTERS.length]).join("");
  return `${COLORS[first % COLORS.length]}-${ANIMALS[second % ANIMALS.length]}-${end}`;
}

function remembered(key) {
  try {
    return localStorage.getItem(`hairpin-${key}`) ?? "";
  } catch {
    return "";
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(`hairpin-${key}`, value);
  } catch {
    // A browser that keeps nothing asks again.
  }
}

const COLORS = ["amber", "blue", "coral", "green", "indigo", "olive", "pearl", "ruby", "silver", "teal", "violet", "white"];
const ANIMALS = ["badger", "crane", "deer", "finch", "fox", "hare", "heron", "lynx", "otter", "owl", "seal", "swift", "wren"];
const LETTERS = "abcdefghjkmnpqrstuvwxyz23456789";

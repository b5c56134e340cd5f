// The pictures of a call: a tile for each member, and one's own.

import { Statistics, grade, graph, rateInWords } from "./statistics.js";
import { hueOf } from "./synthetic.js";

/** The tiles, as large as the window lets them be. */
export class Tiles {
  #list;
  #tiles = new Map();

  constructor(list) {
    this.#list = list;
    new ResizeObserver(() => this.#arrange()).observe(list);
    setInterval(() => this.#tiles.forEach((tile) => tile.measure()), 1000);
  }

  /** The tile under this id, which is made if there is none. */
  of(id, name = "") {
    if (!this.#tiles.has(id)) {
      const tile = new Tile(id, name);
      this.#tiles.set(id, tile);
      this.#list.append(tile.element);
      this.#arrange();
    }
    return this.#tiles.get(id);
  }

  remove(id) {
    this.#tiles.get(id)?.element.remove();
    this.#tiles.delete(id);
    this.#arrange();
  }

  clear() {
    for (const id of [...this.#tiles.keys()]) this.remove(id);
  }

  showNumbers(isShown) {
    this.#tiles.forEach((tile) => tile.showNumbers(isShown));
  }

  /** Tries again to play what the browser did not play without a gesture. */
  play() {
    this.#tiles.forEach((tile) => tile.play());
  }

  /** As many columns as make the pictures largest. */
  #arrange() {
    const count = Math.max(1, this.#tiles.size);
    const { width, height } = this.#list.getBoundingClientRect();
    // How wide a picture of 4:3 would be.
    const widthIn = (columns) => Math.min(width / columns, ((height / Math.ceil(count / columns)) * 4) / 3);
    const columns = Array.from({ length: count }, (_, index) => index + 1);
    const best = columns.reduce((best, each) => (widthIn(each) > widthIn(best) + 1 ? each : best), 1);
    this.#list.style.setProperty("--columns", best);
  }
}

class Tile {
  #statistics = new Statistics();
  #member = null;
  #parts;

  constructor(id, name) {
    this.element = element("li", "tile");
    this.element.dataset.member = id;
    const video = element("video");
    Object.assign(video, { autoplay: true, playsInline: true });
    const chip = Object.assign(element("button", "chip"), { type: "button", hidden: true });
    const numbers = Object.assign(element("div", "numbers"), { hidden: true, id: `numbers-${id}` });
    const tag = element("div", "tag");
    const face = element("div", "face", [...(name.trim() || "?")][0].toUpperCase());
    face.style.backgroundColor = `hsl(${hueOf(name)} 34% 34%)`;
    face.setAttribute("aria-hidden", "true");
    const words = element("p", "words");
    words.setAttribute("role", "status");
    tag.append(element("b", "", name));
    numbers.append(element("dl"), graph());
    chip.setAttribute("aria-controls", numbers.id);
    chip.addEventListener("click", () => this.showNumbers(numbers.hidden));
    video.setAttribute("aria-label", `The picture of ${name}`);
    this.element.append(face, video, words, tag, chip, numbers);
    this.#parts = { video, chip, numbers, tag, face, words, name };
    this.setState({});
    this.showNumbers(false);
  }

  /** Shows one's own stream. */
  showOwn(stream, { isDrawn, ...state }) {
    const { video } = this.#parts;
    video.muted = true;
    this.#show(stream);
    video.classList.toggle("mirrored", !isDrawn);
    this.setState(state);
  }

  /** Shows a member, and how its connection does. */
  showMember(member) {
    this.#member = member;
    const { chip, words, name } = this.#parts;
    chip.hidden = false;
    this.#show(member.stream);
    const isThere = member.state === "connected";
    this.element.classList.remove("connecting", "connected", "interrupted", "away");
    this.element.classList.add(member.state);
    words.textContent = isThere ? "" : WORDS[member.state](name);
    if (!isThere) this.#say(SHORT[member.state], "");
    this.measure();
  }

  setState({ isMuted = false, isCameraOff = false, isSharing = false }) {
    const { tag, video, name } = this.#parts;
    video.hidden = isCameraOff;
    this.element.classList.toggle("whole", isSharing);
    tag.querySelector("svg")?.remove();
    if (isMuted) tag.prepend(icon("mic-off"));
    const more = [isMuted && "muted", isCameraOff && "camera off", isSharing && "shares the screen"].filter(Boolean);
    this.element.setAttribute("aria-label", [name, ...more].join(", "));
  }

  showNumbers(isShown) {
    const { numbers, chip } = this.#parts;
    numbers.hidden = !isShown || !this.#member;
    chip.setAttribute("aria-expanded", String(!numbers.hidden));
    this.measure();
  }

  async play() {
    await this.#parts.video.play().catch(({ name }) => {
      if (name === "NotAllowedError") this.element.dispatchEvent(new Event("silent", { bubbles: true }));
    });
  }

  async measure() {
    if (!this.#member) return;
    const numbers = await this.#statistics.read(this.#member.connection).catch(() => null);
    if (!numbers) return;
    this.element.dataset.frames = numbers.frames;
    const trip = numbers.roundTrip === null ? "" : `${Math.round(numbers.roundTrip)} ms`;
    const short = numbers.way.startsWith("direct") ? "Direct" : "Relayed";
    this.#say([short, trip].filter(Boolean).join(" · "), grade(numbers));
    if (this.#parts.numbers.hidden) return;
    this.#list({
      Path: numbers.way,
      "Round trip": trip || "not known yet",
      Loss: `${(100 * numbers.loss).toFixed(1)} %`,
      Received: rateInWords(numbers.received),
      Sent: rateInWords(numbers.sent),
      Picture: numbers.size ? `${numbers.size}, ${numbers.rate}/s` : "none",
    });
    this.#statistics.draw(this.#parts.numbers.querySelector("svg"));
  }

  #show(stream) {
    const { video } = this.#parts;
    if (video.srcObject === stream) return;
    video.srcObject = stream;
    this.play();
  }

  #say(text, grade) {
    const { chip, name } = this.#parts;
    chip.className = `chip ${grade}`;
    chip.textContent = text;
    chip.setAttribute("aria-label", `Connection to ${name}: ${text}`);
  }

  #list(entries) {
    const rows = Object.entries(entries).flatMap(([term, value]) => [element("dt", "", term), element("dd", "", value)]);
    this.#parts.numbers.querySelector("dl").replaceChildren(...rows);
  }
}

/** An element with a class and a text. */
export function element(name, className = "", text = "") {
  return Object.assign(document.createElement(name), { className, textContent: text });
}

/** A picture that stands in the page. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

const SHORT = { connecting: "Connecting", interrupted: "Interrupted", away: "Away" };
const WORDS = {
  connecting: (name) => `Connecting to ${name} …`,
  interrupted: (name) => `The connection to ${name} is interrupted. It is being mended.`,
  away: (name) => `${name} has lost the network, and may come back.`,
};

/** Charts of the last hour. */

import { drawn, element } from "./elements.js";

export class Chart {
  #place;
  #series;
  #format;
  #points = [];
  #svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  #slider;
  #highest = element("span");
  #since = element("span");
  #when = element("span");
  #values;
  /** The point that is shown; the last one unless somebody has moved along the hour. */
  #shown = null;

  /** `series` is a list of `{ name, value }`, with the value of a point; `format` is for its numbers. */
  constructor(place, label, series, format) {
    this.#place = place;
    this.#series = series;
    this.#format = format;
    this.#slider = element("input", { type: "range", min: "0", max: "0", value: "0", "aria-label": label });
    this.#values = series.map(() => element("b"));
    const legend = series.map(({ name }, index) =>
      element("span", {}, element("i", { class: `key ${CLASSES[index]}` }), `${name} `, this.#values[index]));
    this.#place.append(
      element("div", { class: "ends" }, this.#highest, this.#when),
      element("div", { class: "plot" }, this.#svg, this.#slider),
      element("div", { class: "ends" }, this.#since, element("span", {}, "now")),
      element("div", { class: "legend" }, ...legend),
    );
    this.#slider.addEventListener("input", () => this.#move(Number(this.#slider.value)));
    this.#slider.addEventListener("pointermove", (event) => {
      const { left, width } = this.#slider.getBoundingClientRect();
      const time = this.#start() + ((event.clientX - left) / width) * this.#length();
      const later = this.#points.findIndex((point) => point.time >= time);
      this.#move(later === -1 ? this.#points.length - 1 : later);
    });
    for (const name of ["pointerleave", "blur"]) {
      this.#slider.addEventListener(name, () => this.#move(null));
    }
  }

  show(points) {
    const moved = this.#shown === null ? null : this.#points[this.#shown]?.time;
    this.#points = points;
    this.#slider.max = String(Math.max(points.length - 1, 0));
    const at = moved == null ? -1 : points.findIndex((point) => point.time >= moved);
    this.#move(at === -1 ? null : at);
  }

  #move(index) {
    this.#shown = index !== null && index >= 0 && index < this.#points.length - 1 ? index : null;
    this.#draw();
  }

  /** The seconds that are shown: as many as are known, from five minutes to an hour. */
  #length() {
    const known = this.#points.length === 0 ? 0 : this.#points.at(-1).time - this.#points[0].time;
    return Math.min(Math.max(known, SHORTEST), HOUR);
  }

  #start() {
    const last = this.#points.at(-1);
    return last === undefined ? 0 : last.time - this.#length();
  }

  #draw() {
    const points = this.#points;
    const shown = points[this.#shown ?? points.length - 1];
    if (shown === undefined) {
      this.#since.textContent = "the first point comes within ten seconds";
      return;
    }
    const top = Math.max(...points.flatMap((point) => this.#series.map(({ value }) => value(point))));
    const scale = top > 0 ? top : 1;
    const x = ({ time }) => ((time - this.#start()) / this.#length()) * WIDTH;
    const y = (value) => HEIGHT - (value / scale) * HEIGHT;
    const lines = this.#series.map(({ value }) => line(points, x, (point) => y(value(point))));
    const first = points.length > 1 ? `${lines[0]}L${WIDTH} ${HEIGHT}L${x(points[0]).toFixed(1)} ${HEIGHT}Z` : "";
    const paths = lines.map((d, index) => drawn("path", { class: CLASSES[index], d }));
    const cursor = this.#shown === null ? [] : [
      drawn("line", { class: "cursor", x1: x(shown), x2: x(shown), y1: 0, y2: HEIGHT }),
    ];
    const grid = [0, HEIGHT / 2].map((height) => drawn("line", { x1: 0, x2: WIDTH, y1: height, y2: height }));
    this.#svg.replaceChildren(...grid, drawn("path", { class: "under", d: first }), ...paths, ...cursor);
    this.#say(shown, top);
  }

  #say(shown, top) {
    const clock = new Date(shown.time * 1000).toLocaleTimeString();
    const told = this.#series.map(({ value }) => this.#format(value(shown)));
    const minutes = Math.round(this.#length() / 60);
    this.#highest.textContent = `highest: ${this.#format(top)}`;
    this.#since.textContent = minutes >= 59 ? "an hour ago" : `${minutes} minutes ago`;
    this.#when.textContent = this.#shown === null ? "" : clock;
    told.forEach((text, index) => { this.#values[index].textContent = text; });
    const words = this.#series.map(({ name }, index) => `${name} ${told[index]}`);
    this.#slider.value = String(this.#shown ?? this.#points.length - 1);
    this.#slider.setAttribute("aria-valuetext", `${this.#shown === null ? "now" : clock}: ${words.join(", ")}`);
  }
}

/** A line through points; where the server was not there, it is broken. */
function line(points, x, y) {
  let before = null;
  return points.map((point) => {
    const begins = before === null || point.time - before > 3 * STEP;
    before = point.time;
    return `${begins ? "M" : "L"}${x(point).toFixed(1)} ${y(point).toFixed(1)}`;
  }).join("");
}

/** Seconds. */
const [SHORTEST, HOUR] = [300, 3600];
/** Seconds between two points. */
const STEP = 5;
const [WIDTH, HEIGHT] = [720, 160];
const CLASSES = ["first", "second"];

/**
 * Reads `iceServers` as people paste them: JSON, or the JavaScript of their page.
 *
 * The text is read as data and never run. Names without quotes, single quotes, comments, commas at the
 * end and the words around an object (`const x = …;`, `new RTCPeerConnection(…)`) are taken. An error
 * is a sentence that says what to paste in place of what stands there.
 */

/** A text that cannot be read. Its message says why, and what to paste. */
export class NotIceServers extends Error {
  constructor(why) {
    super(`${why} ${WHAT_TO_PASTE}`);
  }
}

/**
 * Reads a text. Returns one entry per URL, in their order, and notes about what browsers take
 * otherwise.
 *
 * @param {string} text
 * @returns {{ servers: { url: string, username?: string, credential?: string }[], notes: string[] }}
 */
export function readIceServers(text) {
  if (text.trim() === "") throw new NotIceServers(`There is nothing to test yet.`);
  if (text.length > LONGEST) {
    throw new NotIceServers(`This is too long: ${text.length} characters.`);
  }
  const notes = [];
  const entries = entriesOf(plainUrls(text) ?? new Reader(text).read(), notes);
  const servers = entries.flatMap((entry) => serversOf(entry, notes));
  if (servers.length === 0) throw new NotIceServers(`There is no URL in it.`);
  if (servers.length > MOST) {
    const sentence = `${servers.length} URLs are too many: at most ${MOST} are tested at a time.`;
    throw new NotIceServers(`${sentence} Paste those that you are in doubt about.`);
  }
  return { servers, notes: [...new Set(notes)] };
}

/** Lines that are nothing but URLs. */
function plainUrls(text) {
  const words = text.split(/[\s,]+/).filter((word) => word !== "");
  return words.every((word) => /^(stuns?|turns?):[^"'{}[\]]+$/i.test(word)) ? { urls: words } : null;
}

/** The entries of any of the forms: an array, one entry, or an object around either. */
function entriesOf(value, notes) {
  if (Array.isArray(value)) return value.flatMap((item) => entriesOf(item, notes));
  if (typeof value === "string") return [{ urls: value }];
  if (!isObject(value)) {
    throw new NotIceServers(`${spelled(value)} is no server.`);
  }
  if ("iceServers" in value) return entriesOf(value.iceServers, notes);
  if (ADDRESSES.some((name) => name in value)) return [value];
  const around = Object.values(value).find((inner) => isObject(inner) && "iceServers" in inner);
  if (around) return entriesOf(around, notes);
  const names = Object.keys(value).slice(0, 5).map((name) => `“${name}”`).join(", ");
  const found = names === "" ? "It is empty" : `It has ${names}, and neither “iceServers” nor “urls”`;
  throw new NotIceServers(`${found}.`);
}

function serversOf(entry, notes) {
  const name = ADDRESSES.find((each) => each in entry);
  if (name !== "urls") {
    notes.push(`“${name}” is read as “urls”: a browser takes “urls” only.`);
  }
  if (!("credential" in entry) && "password" in entry) {
    notes.push("“password” is read as “credential”: a browser takes “credential” only.");
  }
  const urls = [entry[name]].flat();
  const username = optionalText(entry, "username");
  const credential = optionalText(entry, "credential" in entry ? "credential" : "password");
  return urls.map((url) => {
    if (typeof url !== "string") {
      throw new NotIceServers(`“${name}” holds ${spelled(url)}, which is no URL.`);
    }
    return { url: url.trim(), username, credential };
  });
}

function optionalText(entry, name) {
  const value = entry[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return value;
  if (typeof value === "number") {
    throw new NotIceServers(
      `“${name}” is a number; a browser wants a text: ${name}: "${value}".`);
  }
  throw new NotIceServers(`“${name}” is ${spelled(value)}, and not a text.`);
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function spelled(value) {
  if (Array.isArray(value)) return "a list";
  return isObject(value) ? "an object" : `“${String(value).slice(0, 40)}”`;
}

/** Reads one value of JSON5, after the words that may stand around it. */
class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  /** One value, or all of several that stand one after the other. */
  read() {
    this.start();
    const values = [];
    do values.push(this.value(0)); while (this.goesOn());
    return values.length === 1 ? values[0] : values;
  }

  goesOn() {
    this.takes(",");
    return ["{", "["].includes(this.peek());
  }

  /** Goes to where the value begins: behind `const x =`, `new RTCPeerConnection(` and the like. */
  start() {
    this.blank();
    const rest = this.text.slice(this.at);
    if (/^["']?(urls?|uris)["']?\s*:/.test(rest)) {
      // The inside of an entry, without its braces.
      this.text = `{${rest.replace(/[,;\s]+$/, "")}}`;
      this.at = 0;
      return;
    }
    const first = rest.search(/[[{]/);
    if (first < 0) throw new NotIceServers(`There is neither an object nor a list in it.`);
    this.at += first;
  }

  value(depth) {
    if (depth > DEEPEST) throw new NotIceServers(`It is nested too deeply.`);
    this.blank();
    const first = this.text[this.at];
    if (first === "{") return this.object(depth);
    if (first === "[") return this.array(depth);
    if (QUOTES.includes(first)) return this.string();
    return this.word();
  }

  object(depth) {
    const object = Object.create(null);
    this.at += 1;
    while (!this.takes("}")) {
      if (this.text.startsWith("...", this.at)) {
        throw this.stopped("“...” takes parts from elsewhere; this page cannot see them. Paste them here");
      }
      const name = this.name();
      this.blank();
      if (",}".includes(this.text[this.at])) {
        throw this.stopped(`“${name}” is the name of a variable; this page cannot see its value. `
          + `Paste the value itself, such as ${name}: "…"`);
      }
      if (!this.takes(":")) throw this.stopped(`a colon is missing after “${name}”`);
      object[name] = this.value(depth + 1);
      if (!this.takes(",") && this.peek() !== "}") {
        throw this.stopped(`a comma or } is missing after the value of “${name}”`);
      }
    }
    return object;
  }

  array(depth) {
    const items = [];
    this.at += 1;
    while (!this.takes("]")) {
      items.push(this.value(depth + 1));
      if (!this.takes(",") && this.peek() !== "]") throw this.stopped("a comma or ] is missing");
    }
    return items;
  }

  name() {
    this.blank();
    if (QUOTES.includes(this.text[this.at])) return this.string();
    const name = /^[\p{L}_$][\p{L}\p{N}_$]*/u.exec(this.text.slice(this.at, this.at + 200))?.[0];
    if (!name) throw this.stopped("a name such as urls or credential is missing");
    this.at += name.length;
    return name;
  }

  string() {
    const quote = this.text[this.at];
    let string = "";
    for (this.at += 1; this.at < this.text.length; this.at += 1) {
      const letter = this.text[this.at];
      if (letter === quote) {
        this.at += 1;
        return string;
      }
      if (letter === "\n" && quote !== "`") break;
      if (quote === "`" && this.text.startsWith("${", this.at)) {
        throw this.stopped("“${…}” takes a value from elsewhere; this page cannot see it. Paste the value");
      }
      string += letter === "\\" ? this.escape() : letter;
    }
    throw this.stopped(`the text that begins with ${quote} has no end: another ${quote} is missing`);
  }

  /** What an escape stands for. Ends on its last character. */
  escape() {
    this.at += 1;
    const letter = this.text[this.at];
    const digits = { u: 4, x: 2 }[letter];
    if (digits === undefined) return ESCAPES[letter] ?? letter ?? "";
    const code = this.text.slice(this.at + 1, this.at + 1 + digits);
    if (!/^[0-9a-f]+$/i.test(code) || code.length < digits) throw this.stopped(`\\${letter} lacks its digits`);
    this.at += digits;
    return String.fromCharCode(Number.parseInt(code, 16));
  }

  /** A number, `true`, `false`, `null`; any other word is a variable. */
  word() {
    const word = /^[^\s,:;{}[\]()"'`]+/.exec(this.text.slice(this.at, this.at + 200))?.[0];
    if (word === undefined) throw this.stopped("a value is missing");
    const end = this.at + word.length;
    if (word in WORDS) {
      this.at = end;
      return WORDS[word];
    }
    if (/^-?\d+(\.\d+)?$/.test(word)) {
      this.at = end;
      return Number(word);
    }
    throw this.stopped(/^(stuns?|turns?)$/i.test(word)
      ? `“${word}:…” stands without quotes: write "${word}:…"`
      : `“${word}” is the name of a variable; this page cannot see its value. Paste the value itself, in quotes`);
  }

  takes(letter) {
    if (this.peek() !== letter) return false;
    this.at += 1;
    return true;
  }

  peek() {
    this.blank();
    return this.text[this.at];
  }

  /** Passes over spaces and comments. */
  blank() {
    BLANK.lastIndex = this.at;
    this.at += BLANK.exec(this.text)[0].length;
  }

  stopped(why) {
    const line = this.text.slice(0, this.at).split("\n").length;
    const end = this.at >= this.text.length ? "The text ends too early" : `Line ${line} cannot be read`;
    return new NotIceServers(`${end}: ${why}.`);
  }
}

const WHAT_TO_PASTE = "Paste what your page gives to new RTCPeerConnection(…), such as "
  + '{ iceServers: [{ urls: "turn:turn.example.org:3478", username: "…", credential: "…" }] }.';

/** Names that the URLs of an entry have: the browsers', the old one, and the one of TURN REST. */
const ADDRESSES = ["urls", "url", "uris"];
const QUOTES = ['"', "'", "`"];
const ESCAPES = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f", v: "\v", 0: "\0", "\n": "" };
const WORDS = Object.assign(Object.create(null), { true: true, false: false, null: null, undefined });
/** Spaces and both kinds of comments. One without an end goes on to the end of the text. */
const BLANK = /(?:\s+|\/\/[^\n]*|\/\*[^]*?(?:\*\/|$))*/y;
const LONGEST = 65_536;
const DEEPEST = 16;
const MOST = 16;

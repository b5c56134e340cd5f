// hairpin-files.js: files from member to member of a room of hairpin-call.js. Copy both into your page.
//
//     import { Files } from "./hairpin-files.js";
//
//     const files = new Files(room);
//     const transfer = files.send(member, file);            // a File or a Blob with a name
//     files.addEventListener("offer", ({ transfer }) => {   // a member offers one
//       transfer.accept();                                  // or transfer.cancel()
//       transfer.addEventListener("end", () => { if (transfer.state === "complete") save(transfer.blob); });
//     });
//
// A transfer has `member`, `isIncoming`, `name`, `size`, `done` (bytes that the receiver's end has, or that
// were sent), `state` ("offered", "moving", "complete", "declined", "cancelled", "lost") and, complete and
// incoming, `blob`. Its events are `progress` and, once, `end`. If the connection dies, the transfer goes on
// over the next one, from the byte that the receiver has.
//
// Each file has a data channel of its own. The sender offers {id, name, size, type}; the receiver answers
// {from}, the byte to begin with; bytes follow; the receiver ends with {got}. Either may say {cancel}.

/** The files of a room. */
export class Files extends EventTarget {
  #transfers = new Set();

  constructor(room) {
    super();
    room.addEventListener("connection", ({ member, connection }) => this.#carry(member, connection));
    room.addEventListener("left", ({ member }) => this.#of(member).forEach((each) => each.finish("lost")));
  }

  /** Offers a member a file. */
  send(member, file) {
    const offer = { id: newId(), name: file.name, size: file.size, type: file.type };
    const transfer = this.#add(new Transfer(member, offer, file));
    if (member.connection) transfer.offer(member.connection);
    return transfer;
  }

  #carry(member, connection) {
    connection.addEventListener("datachannel", ({ channel }) => {
      if (channel.label !== LABEL) return;
      channel.onmessage = ({ data }) => this.#offered(member, channel, parsed(data));
    });
    for (const each of this.#of(member)) if (!each.isIncoming) each.offer(connection);
  }

  #offered(member, channel, { id, name, size, type }) {
    if (typeof id !== "string" || !Number.isSafeInteger(size) || size < 0) return channel.close();
    const known = this.#of(member).find((each) => each.isIncoming && each.id === id);
    if (known) return known.receiveBy(channel);
    if (this.#of(member).length >= MOST_TRANSFERS) return channel.close();
    const offer = { id, size, name: String(name).slice(0, 200), type: String(type).slice(0, 100) };
    const transfer = this.#add(new Transfer(member, offer, null));
    transfer.receiveBy(channel);
    this.dispatchEvent(Object.assign(new Event("offer"), { transfer }));
  }

  #add(transfer) {
    this.#transfers.add(transfer);
    transfer.addEventListener("end", () => this.#transfers.delete(transfer));
    return transfer;
  }

  #of(member) {
    return [...this.#transfers].filter((each) => each.member === member);
  }
}

/** One file on its way. */
class Transfer extends EventTarget {
  #file;
  #channel;
  #parts = [];
  #isAccepted = false;
  #pumped = null;

  constructor(member, { id, name, size, type }, file) {
    super();
    Object.assign(this, { member, id, name, size, type, isIncoming: file === null });
    this.#file = file;
    this.state = "offered";
    this.done = 0;
    this.blob = null;
  }

  /** Takes the file that was offered. */
  accept() {
    if (this.state !== "offered" || this.#isAccepted) return;
    this.#isAccepted = true;
    this.#ask();
  }

  /** Ends the transfer, or declines it. */
  cancel() {
    this.#say({ cancel: true });
    this.finish(this.isIncoming && !this.#isAccepted ? "declined" : "cancelled");
  }

  /** Offers the file over a channel of this connection. */
  offer(connection) {
    const { id, name, size, type } = this;
    const channel = (this.#channel = connection.createDataChannel(LABEL));
    channel.onopen = () => channel.send(JSON.stringify({ id, name, size, type }));
    channel.onmessage = ({ data }) => {
      const { from, got, cancel } = parsed(data);
      if (cancel) this.finish(this.done > 0 ? "cancelled" : "declined");
      else if (got === size) this.finish("complete");
      else if (from >= 0 && from <= size) this.#pump(channel, from);
    };
  }

  /** Receives the file by this channel, from where it stands. */
  receiveBy(channel) {
    this.#channel = channel;
    channel.binaryType = "arraybuffer";
    channel.onmessage = ({ data }) => {
      if (this.#channel !== channel) return;
      if (data instanceof ArrayBuffer) this.#take(data);
      else if (parsed(data).cancel) this.finish("cancelled");
    };
    if (this.#isAccepted) this.#ask();
  }

  finish(state) {
    if (ENDS.includes(this.state)) return;
    this.state = state;
    this.#parts = [];
    if (this.isIncoming || state !== "complete") this.#closeSoon();
    this.dispatchEvent(new Event("end"));
  }

  #ask() {
    this.#say({ from: this.done });
    this.#move(this.done);
    if (this.size === 0) this.#take(new ArrayBuffer(0));
  }

  #take(bytes) {
    if (!this.#isAccepted || this.done + bytes.byteLength > this.size) return this.cancel();
    this.#parts.push(bytes);
    // A browser can keep a Blob on disk.
    if (this.#parts.length >= 256) this.#parts = [new Blob(this.#parts)];
    this.#move(this.done + bytes.byteLength);
    if (this.done < this.size) return;
    this.blob = new Blob(this.#parts, { type: this.type });
    this.#say({ got: this.size });
    this.finish("complete");
  }

  /** Sends bytes as fast as the channel takes them, and keeps no more than a mebibyte waiting there. */
  async #pump(channel, from) {
    if (this.#pumped === channel) return;
    this.#pumped = channel;
    channel.bufferedAmountLowThreshold = MOST_WAITING / 4;
    for (let at = from; at < this.size; at += CHUNK) {
      // A file that was changed or removed meanwhile cannot be read any more.
      const bytes = await this.#file.slice(at, at + CHUNK).arrayBuffer().catch(() => this.cancel());
      if (channel.bufferedAmount > MOST_WAITING) await lowered(channel);
      if (!bytes || channel.readyState !== "open" || this.#channel !== channel) return;
      channel.send(bytes);
      this.#move(at + bytes.byteLength);
    }
  }

  #move(done) {
    if (ENDS.includes(this.state)) return;
    this.state = "moving";
    this.done = done;
    this.dispatchEvent(new Event("progress"));
  }

  #say(message) {
    if (this.#channel?.readyState === "open") this.#channel.send(JSON.stringify(message));
  }

  /** What was said last must still leave. */
  #closeSoon() {
    const channel = this.#channel;
    setTimeout(() => channel?.close(), 2000);
  }
}

function lowered(channel) {
  return new Promise((resolve) => {
    channel.addEventListener("bufferedamountlow", resolve, { once: true });
    channel.addEventListener("close", resolve, { once: true });
  });
}

function parsed(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

function newId() {
  return Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("");
}

/** The name of the channels. */
const LABEL = "file";
/** Every browser takes messages of this size from every other. */
const CHUNK = 65536;
const MOST_WAITING = 1024 * 1024;
/** How many files of a member may be under way. */
const MOST_TRANSFERS = 32;
const ENDS = ["complete", "declined", "cancelled", "lost"];

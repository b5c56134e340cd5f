// hairpin-call.js: a call between the members of a room, through Hairpin's signaling and relay.
//
// One file without dependencies. Copy it into your own page:
//
//     import { Room } from "./hairpin-call.js";
//
//     const room = new Room({ url: "wss://turn.example.org/signal", room: "blue-fox", name: "Alice", stream });
//     room.addEventListener("stream", ({ member }) => { video(member).srcObject = member.stream; });
//     room.addEventListener("message", ({ member, data }) => { show(member.name, data.text); });
//     room.addEventListener("left", ({ member }) => { remove(member); });
//     room.send({ text: "Hello" });
//
// Options: `url` (this page's host and /signal), `room`, `name`, `secret` or `token` (where the room needs
// one), `stream` (a MediaStream that all members see; may come later, by `setStream`), `relayOnly`, and
// `iceServers` (instead of those that the signaling server gives).
//
// Properties: `state` ("connecting", "joined", "reconnecting", "closed"), `id`, and `members`, a Map of
// members by their ids. A member has `id`, `name`, `state` ("connecting", "connected", "interrupted",
// "away": its connection to the server is broken, too), `stream`, `connection` (its RTCPeerConnection of
// now, for getStats) and `send(data)`.
//
// Events of the room; all but `state` and `error` have `member`:
//     state       the room's state has changed
//     error       `code` and `message`: what docs/signaling.md lists, or "unreachable"
//     member      a member is there: it came, or was there before
//     left        it is gone; `cause` is "left", "gone", "ended" (docs/signaling.md), "rejoined" (this end had
//                 to join again) or "closed" (this end is no longer in the room)
//     change      the member's state has changed
//     connection  the member has a new RTCPeerConnection, `connection`; add data channels of your own to it
//     stream      the member's stream has a new track, or is a new one
//     message     `data`: what the member sent, any value that JSON knows, each once and in order
//
// The library does by itself, since browsers do not:
// - It restarts ICE at `disconnected`. At `failed`, Firefox's media is dead for good; then there is a new
//   RTCPeerConnection, to which both ends change by its number.
// - It takes up its place in the room again when the connection to the server breaks, and misses nothing.
// - It asks for a fresh TURN credential before the old one expires.
// - Messages that were on the way when a connection died are sent again on the next one.

/** A room that this page is in. */
export class Room extends EventTarget {
  constructor(options) {
    super();
    this.state = "connecting";
    this.id = null;
    this.members = new Map();
    this.options = { relayOnly: false, stream: null, ...options };
    this.line = new Line(this.options.url ?? ownServer(), this.#introduction(), this);
  }

  /** Sends a value that JSON knows to all members, by their data channels. At most 64 KiB. */
  send(data) {
    for (const member of this.members.values()) member.send(data);
  }

  /** Shows all members this stream. A track takes the place of the one of its kind. */
  setStream(stream) {
    this.options.stream = stream;
    for (const member of this.members.values()) member.show(stream);
  }

  /** Whether all connections pass the relay. Those that there are change over. */
  setRelayOnly(relayOnly) {
    this.options.relayOnly = relayOnly;
    for (const member of this.members.values()) member.renew();
  }

  /** Leaves the room for good. */
  leave() {
    this.line.leave();
  }

  emit(type, fields = {}) {
    this.dispatchEvent(Object.assign(new Event(type), fields));
  }

  changeState(state) {
    if (this.state === state || this.state === "closed") return;
    this.state = state;
    if (state === "closed") {
      clearTimeout(this.refresh);
      this.#forgetAll("closed");
    }
    this.emit("state");
  }

  get configuration() {
    const { iceServers = this.iceServers, relayOnly } = this.options;
    // Unbundled, audio, video and data would each have allocations of their own until the answer comes.
    return { iceServers, iceTransportPolicy: relayOnly ? "relay" : "all", bundlePolicy: "max-bundle" };
  }

  /** Takes a message of the server. */
  receive(message) {
    const member = this.members.get(message.id ?? message.from);
    switch (message.type) {
      case "joined":
        this.#forgetAll("rejoined");
        this.id = message.id;
        this.#take(message);
        this.changeState("joined");
        return message.members.forEach((entry) => this.#meet(entry));
      case "resumed":
        this.changeState("joined");
        return this.members.forEach((each) => each.mendSoon());
      case "ice": return this.#take(message);
      case "member": return this.#meet(message.member);
      case "left": return member && this.#forget(member, message.cause);
      case "away": return member?.setAway(true);
      case "back": return member?.setAway(false);
      case "signal": return member?.receive(message.data);
      case "error":
        // The message that the other end did not get may have been an offer, whose answer would never come.
        if (message.code === "not-delivered") this.members.get(message.to)?.renew();
        return this.emit("error", { code: message.code, message: message.message });
    }
  }

  #introduction() {
    const { room, name, secret, token } = this.options;
    return { type: "join", room, name, secret, token };
  }

  #take({ iceServers, iceLifetime }) {
    this.iceServers = iceServers;
    for (const { connection } of this.members.values()) connection?.setConfiguration?.(this.configuration);
    clearTimeout(this.refresh);
    const soon = Math.max(10_000, Math.min(iceLifetime * 800, LONGEST_TIMER));
    if (iceLifetime > 0) this.refresh = setTimeout(() => this.line.post({ type: "ice" }), soon);
  }

  #meet(entry) {
    const member = new Member(this, entry);
    this.members.set(member.id, member);
    this.emit("member", { member });
    member.begin();
  }

  #forget(member, cause) {
    this.members.delete(member.id);
    member.close();
    this.emit("left", { member, cause });
  }

  #forgetAll(cause) {
    for (const member of [...this.members.values()]) this.#forget(member, cause);
  }
}

/** Another member, and the connection to it. */
class Member {
  #room;
  #polite;
  #away;
  #number = 0;
  #dead = false;
  #offering = false;
  #answering = false;
  #timer;
  #failures = 0;
  #channel;
  #unheard = [];
  #said = 0;
  #heard = 0;

  constructor(room, { id, name, polite, away }) {
    this.#room = room;
    this.#polite = polite;
    this.#away = away;
    this.id = id;
    this.name = name;
    this.state = "connecting";
    this.stream = new MediaStream();
    this.connection = null;
  }

  /** The member that came later makes the first offer; the other one only if none comes. */
  begin() {
    if (this.#polite) this.#connect(1);
    else this.#changed();
  }

  send(data) {
    const message = JSON.stringify({ number: this.#said + 1, data });
    if (message.length > LONGEST_MESSAGE) throw new RangeError("the message is longer than every browser takes");
    this.#said++;
    this.#unheard.push(message);
    if (this.#channel?.readyState === "open") this.#channel.send(message);
  }

  show(stream) {
    const connection = this.connection;
    for (const track of stream?.getTracks() ?? []) {
      const sender = connection?.getSenders().find((each) => each.track?.kind === track.kind);
      if (sender) sender.replaceTrack(track);
      else connection?.addTrack(track, stream);
    }
  }

  /** Begins a new RTCPeerConnection, to which the other end follows, after so many milliseconds. */
  renew(delay = 0) {
    this.#dead = true;
    this.#later(delay, () => this.#mend());
  }

  /** Mends the connection if it needs to be: one end does so at once, the other if that was in vain. */
  mendSoon() {
    if (this.#dead) this.renew();
    else if (this.connection?.connectionState !== "connected") this.#later(this.#polite ? 2500 : 0, () => this.#mend());
  }

  setAway(away) {
    this.#away = away;
    this.#changed();
    if (!away) this.mendSoon();
  }

  close() {
    clearTimeout(this.#timer);
    this.#room = null;
    this.connection?.close();
  }

  /** Takes what the other end sent: perfect negotiation, but for its rollback, for connections that have numbers. */
  async receive({ number, description, candidate }) {
    if (!Number.isSafeInteger(number) || number < Math.max(1, this.#number)) return;
    let connection = this.connection;
    try {
      if (number > this.#number) this.#connect(number);
      if (description?.type === "offer" && !this.#givesWay()) return;
      connection = this.connection;
      // A candidate that belongs to an offer which was ignored is refused, and is of no use.
      if (candidate) await connection.addIceCandidate(candidate).catch(() => {});
      if (description) await this.#take(description, connection);
    } catch (error) {
      this.#fail(connection, error);
    }
  }

  /**
   * Whether an offer is taken: not by the impolite end while it makes one itself. The polite end gives its own up, together
   * with the connection. If that were rolled back, Firefox would send Chromium no feedback for video from then on, and
   * the picture would stand still from the first packet that is lost.
   */
  #givesWay() {
    const { connection } = this;
    const isStable = connection.signalingState === "stable" || this.#answering;
    if (isStable && !this.#offering) return true;
    if (!this.#polite) return false;
    // Both ends have agreed on this connection before: the other one cannot take another in its place.
    const isNew = connection.currentRemoteDescription === null;
    if (isNew) this.#connect(this.#number);
    else this.renew();
    return isNew;
  }

  async #take(description, connection) {
    const isOffer = description.type === "offer";
    this.#answering = !isOffer;
    try {
      await connection.setRemoteDescription(description);
    } finally {
      if (this.#is(connection)) this.#answering = false;
    }
    if (!isOffer) return;
    // The other end mends the connection: no need to do so from here as well, unless it is dead here.
    const isMended = this.#is(connection) && !this.#dead && connection.connectionState !== "connected";
    if (isMended) this.#later(PATIENCE, () => this.renew());
    await this.#describe(connection);
  }

  async #offer(connection) {
    this.#offering = true;
    await this.#describe(connection).catch((error) => this.#fail(connection, error));
    if (this.#is(connection)) this.#offering = false;
  }

  /** Sends an offer or an answer, whichever it is time for. */
  async #describe(connection) {
    await connection.setLocalDescription();
    this.#signal(connection, { description: connection.localDescription });
  }

  #connect(number) {
    const connection = new RTCPeerConnection(this.#room.configuration);
    this.connection?.close();
    this.connection = connection;
    this.#number = number;
    this.#dead = this.#offering = this.#answering = false;
    connection.onnegotiationneeded = () => this.#is(connection) && this.#offer(connection);
    connection.onicecandidate = ({ candidate }) => candidate && this.#signal(connection, { candidate });
    connection.onconnectionstatechange = () => this.#is(connection) && this.#changed();
    this.stream = new MediaStream();
    connection.ontrack = ({ track }) => {
      this.stream.addTrack(track);
      this.#room?.emit("stream", { member: this });
    };
    this.#listen(connection);
    this.show(this.#room.options.stream);
    this.#room.emit("connection", { member: this, connection });
    this.#changed();
  }

  #changed() {
    const state = this.connection?.connectionState ?? "new";
    const words = { connected: "connected", disconnected: "interrupted", failed: "interrupted" };
    this.#say(this.#away && state !== "connected" ? "away" : (words[state] ?? "connecting"));
    if (this.#dead) return;
    clearTimeout(this.#timer);
    if (state === "connected") this.#failures = 0;
    else if (state === "failed") this.#fail(this.connection, state);
    // A restart helps while media still lives, which in Firefox it does until `failed`.
    else if (state === "disconnected") this.#later(this.#polite ? 2500 : 1200, () => this.#mend());
    else this.#later(this.connection ? PATIENCE : 5000, () => this.renew());
  }

  #say(state) {
    if (this.state === state) return;
    this.state = state;
    this.#room?.emit("change", { member: this });
  }

  #mend() {
    // Without the server nothing can be agreed on; `resumed` and `back` bring this about again.
    if (!this.#room?.line.isLive || this.#away) return;
    if (this.#dead || !this.connection) return this.#connect(this.#number + 1);
    if (this.connection.connectionState === "connected") return;
    this.connection.restartIce();
    this.#later(PATIENCE, () => this.renew());
  }

  /** A new connection at once, and after more and more time if that one fails as well. */
  #fail(connection, error) {
    if (!this.#is(connection)) return;
    console.warn(`the connection to ${this.id} is made anew:`, error);
    this.renew(Math.min(2000 * this.#failures++, 20000));
  }

  #later(milliseconds, what) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(what, milliseconds);
  }

  #is(connection) {
    return this.#room !== null && this.connection === connection;
  }

  #signal(connection, data) {
    if (!this.#is(connection)) return;
    this.#room.line.post({ type: "signal", to: this.id, data: { number: this.#number, ...data } });
  }

  /** The channel for messages. Those that the other end has not heard are said again. */
  #listen(connection) {
    const channel = (this.#channel = connection.createDataChannel("messages", { negotiated: true, id: 0 }));
    const acknowledge = () => channel.readyState === "open" && channel.send(JSON.stringify({ heard: this.#heard }));
    channel.onopen = () => {
      acknowledge();
      this.#unheard.forEach((message) => channel.send(message));
    };
    // The other end may be leaving, or on its way to a new connection: the server says so within a moment.
    channel.onclose = () => this.#is(connection) && this.renew(1000);
    channel.onmessage = ({ data }) => {
      if (!this.#is(connection)) return;
      const { heard, number, data: said } = parsed(data);
      if (heard !== undefined) this.#unheard.splice(0, this.#unheard.length - (this.#said - heard));
      if (number === undefined) return;
      // One that comes again is acknowledged again, and no more than that.
      if (number === this.#heard + 1) {
        this.#heard = number;
        this.#room.emit("message", { member: this, data: said });
      }
      acknowledge();
    };
  }
}

/** The WebSocket to the server, and the next one when it breaks. */
class Line {
  #url;
  #introduction;
  #room;
  #socket;
  #session = null;
  #uncounted = [];
  #counted = 0;
  #seq = 0;
  #acknowledged = 0;
  #isReached = false;
  #heardAt = 0;
  #retry = 0;
  #failures = 0;
  #watch;
  #next;
  /** The browser says that there is a network again. */
  #online = () => {
    if (!this.isLive) this.#open();
  };

  constructor(url, introduction, room) {
    this.isLive = false;
    this.#url = url;
    this.#introduction = introduction;
    this.#room = room;
    this.#watch = setInterval(() => this.#look(), 1000);
    window.addEventListener("online", this.#online);
    this.#open();
  }

  /** Sends a message once, whatever becomes of the connection. */
  post(message) {
    this.#uncounted.push(message);
    if (this.isLive) this.#write(message);
  }

  leave() {
    if (this.isLive) this.#write({ type: "leave" });
    this.#end();
  }

  #open() {
    clearTimeout(this.#next);
    this.#abandon();
    const socket = (this.#socket = new WebSocket(this.#url, "hairpin.signal.1"));
    this.#isReached = false;
    this.#heardAt = performance.now();
    const ifCurrent = (act) => (event) => this.#socket === socket && act(event);
    socket.onopen = ifCurrent(() => this.#greet());
    socket.onmessage = ifCurrent(({ data }) => this.#receive(JSON.parse(data)));
    socket.onclose = ifCurrent(({ code }) => this.#closed(code));
  }

  #greet() {
    this.#isReached = true;
    this.#write(this.#session === null ? this.#introduction : { type: "resume", session: this.#session });
  }

  #receive(message) {
    this.#heardAt = performance.now();
    if (message.type === "joined") {
      this.#session = message.session;
      this.#uncounted = [];
      this.#counted = this.#seq = 0;
    }
    const isNew = !(message.seq <= this.#seq);
    if (isNew) this.#seq = message.seq ?? this.#seq;
    if (message.received > this.#counted) {
      this.#uncounted.splice(0, message.received - this.#counted);
      this.#counted = message.received;
    }
    if (message.type === "resumed" || message.type === "joined") {
      if (this.isLive) return;
      this.isLive = true;
      this.#failures = 0;
      this.#uncounted.forEach((each) => this.#write(each));
    }
    if (message.type === "error") this.#refused(message);
    if (isNew) this.#room.receive(message);
    if (this.isLive && this.#seq - this.#acknowledged >= 16) this.#write({ type: "ack" });
  }

  #refused({ code, retry = 0 }) {
    this.#retry = retry;
    if (code === "unknown-session") this.#session = null;
    if (["forbidden", "room-full", "bad-message", "too-large"].includes(code)) this.#end();
  }

  #closed(code) {
    // The place in the room was taken up elsewhere.
    if (code === 4001) this.#end();
    else this.#lost();
  }

  /** Finds out whether the server still answers: of a connection that died silently a page is told nothing. */
  #look() {
    if (!this.#socket) return;
    const silence = performance.now() - this.#heardAt;
    if (silence > 7000) this.#lost();
    else if (this.isLive && silence > 3000) this.#write({ type: "ping" });
    else if (this.isLive && this.#seq > this.#acknowledged) this.#write({ type: "ack" });
  }

  #lost() {
    if (!this.#isReached) this.#room.emit("error", { code: "unreachable", message: "the server does not answer" });
    this.isLive = false;
    this.#room.changeState(this.#session === null ? "connecting" : "reconnecting");
    this.#abandon();
    this.#next = setTimeout(() => this.#open(), Math.max(this.#retry * 1000, Math.min(250 * 2 ** this.#failures++, 4000)));
    this.#retry = 0;
  }

  #abandon() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #end() {
    this.isLive = false;
    clearInterval(this.#watch);
    clearTimeout(this.#next);
    window.removeEventListener("online", this.#online);
    this.#abandon();
    this.#room.changeState("closed");
  }

  #write(message) {
    if (this.#session !== null) this.#acknowledged = this.#seq;
    const ack = message.type === "join" ? undefined : this.#seq;
    this.#socket.send(JSON.stringify({ ...message, ack }));
  }
}

function ownServer() {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/signal`;
}

function parsed(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

/** How long a connection may take to come about or to come back, in milliseconds. */
const PATIENCE = 12000;
/** The longest message, in UTF-16 units: 192 KiB of UTF-8 at most. */
const LONGEST_MESSAGE = 65536;
/** The longest time that a timer of JavaScript knows. */
const LONGEST_TIMER = 2 ** 31 - 1;

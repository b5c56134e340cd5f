// room.js: a room in which members do not meet each other, but one that forwards: an SFU or an MCU.
//
// One file without dependencies, to copy and to change; room.html beside it uses it. For members that meet each other
// there is hairpin-call.js, which can also do what is left out here: take up its place when the signaling breaks.
//
//     const room = new Room({ url: "wss://turn.example.org/signal", room: "lounge", name: "Alice", stream });
//     room.addEventListener("stream", ({ stream, name }) => { video(stream.id).srcObject = stream; });
//     room.addEventListener("streamend", ({ stream }) => { remove(stream.id); });
//
// Options: `url`, `room`, `name`, `secret` (where the room needs one), `through` (the name of the member that
// forwards, "sfu" unless it is given), `stream` (a MediaStream that all see; without one this member is a viewer).
//
// Events: `state` ("joined", "waiting" for the member that forwards, "connected", "interrupted", "closed"), `stream`
// and `streamend` with the stream of one member, or of all together; `error` with the message of docs/signaling.md.

/** A room that this page is in. */
export class Room extends EventTarget {
  constructor(options) {
    super();
    this.options = { through: "sfu", stream: null, ...options };
    this.names = new Map();
    this.streams = new Map();
    this.#enter();
  }

  /** Leaves the room for good. */
  leave() {
    this.#say({ type: "leave" });
    this.#end();
  }

  #enter() {
    const { url, room, name, secret } = this.options;
    this.received = 0;
    this.socket = new WebSocket(url, "hairpin.signal.1");
    this.socket.onopen = () => this.#say({ type: "join", room, name, secret });
    // One message after the other: setting a description takes time, and the next must wait for it.
    let before = Promise.resolve();
    this.socket.onmessage = ({ data }) => {
      before = before.then(() => this.#hear(JSON.parse(data))).catch((problem) => {
        this.#emit("error", { message: String(problem) });
      });
    };
    this.socket.onclose = () => this.#end();
  }

  #say(message) {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    const ack = this.received > 0 ? { ack: this.received } : {};
    this.socket.send(JSON.stringify({ ...message, ...ack }));
  }

  async #hear(message) {
    this.received = message.seq ?? this.received;
    if (this.received % 16 === 0) this.#say({ type: "ack" });
    switch (message.type) {
      case "joined":
        this.iceServers = message.iceServers;
        this.#emit("state", { state: "joined" });
        message.members.forEach(({ id, name }) => this.names.set(id, name));
        if (!this.forwarder) this.#emit("state", { state: "waiting" });
        return;
      case "member": return this.names.set(message.member.id, message.member.name);
      case "left": return this.#forget(message.id);
      case "signal": return message.from === this.forwarder ? this.#take(message.data) : undefined;
      case "error": return this.#emit("error", { message: message.message });
    }
  }

  /** The id of the member that forwards. If two have its name it is the one that was there first. */
  get forwarder() {
    for (const [id, name] of this.names) if (name === this.options.through) return id;
    return null;
  }

  #forget(id) {
    const wasForwarder = id === this.forwarder;
    this.names.delete(id);
    if (!wasForwarder) return;
    this.#disconnect();
    this.#emit("state", { state: "waiting" });
  }

  /** The member that forwards makes all offers. Candidates of its own are in them. */
  async #take({ description, candidate }) {
    if (candidate) return this.connection?.addIceCandidate(candidate);
    if (description?.type !== "offer") return;
    this.connection ??= this.#connect();
    await this.connection.setRemoteDescription(description);
    await this.connection.setLocalDescription();
    this.#tell({ description: this.connection.localDescription });
  }

  #tell(data) {
    this.#say({ type: "signal", to: this.forwarder, data });
  }

  #connect() {
    const { stream } = this.options;
    const connection = new RTCPeerConnection({ iceServers: this.iceServers });
    stream?.getTracks().forEach((track) => connection.addTrack(track, stream));
    connection.onicecandidate = ({ candidate }) => this.#tell({ candidate });
    connection.ontrack = ({ track, streams: [stream] }) => this.#show(track, stream);
    connection.onconnectionstatechange = () => {
      switch (connection.connectionState) {
        case "connected": return this.#emit("state", { state: "connected" });
        case "disconnected": return this.#emit("state", { state: "interrupted" });
        // To come again is the whole repair: the other end makes a new connection with a new member.
        case "failed": return this.#comeAgain();
      }
    };
    return connection;
  }

  #show(track, stream) {
    if (!this.streams.has(stream.id)) {
      this.streams.set(stream.id, stream);
      this.#emit("stream", { stream, name: this.names.get(stream.id) });
    }
    stream.onremovetrack = () => {
      if (stream.getTracks().length === 0) this.#hide(stream);
    };
  }

  #hide(stream) {
    if (this.streams.delete(stream.id)) this.#emit("streamend", { stream });
  }

  #disconnect() {
    this.connection?.close();
    this.connection = null;
    [...this.streams.values()].forEach((stream) => this.#hide(stream));
  }

  #comeAgain() {
    this.#disconnect();
    this.names.clear();
    this.#say({ type: "leave" });
    this.socket.onclose = () => this.#enter();
    this.socket.close();
  }

  #end() {
    this.#disconnect();
    this.#emit("state", { state: "closed" });
  }

  #emit(type, fields) {
    this.dispatchEvent(Object.assign(new Event(type), fields));
  }
}

// The call page: a door, pictures, a chat, and a bar of buttons.

import { Chat } from "./chat.js";
import { Door, offerDevices } from "./door.js";
import { Room } from "./hairpin-call.js";
import { OwnMedia } from "./own-media.js";
import { Tiles, icon } from "./tiles.js";

const at = (id) => document.getElementById(id);

// All modules have come.
at("unfinished").remove();
const media = new OwnMedia();
const door = new Door(media);
const tiles = new Tiles(at("tiles"));
const chat = new Chat({
  panel: at("chat"), opener: at("chat-open"), closer: at("chat-close"), badge: at("unread"), log: at("log"),
  form: at("say"), words: at("words"), attach: at("attach"), file: at("file"),
});
/** The room that the visitor is in, or null. */
let room = null;

door.addEventListener("join", () => {
  room = new Room({ ...door.options, stream: media.stream });
  follow(room);
});
media.addEventListener("change", () => {
  room?.setStream(media.stream);
  room?.send({ state: ownState() });
  showOwn();
});

/** Lets the page show what happens in a room. */
function follow(room) {
  const tile = (member) => tiles.of(member.id, member.name);
  let joinedAt = 0;
  chat.begin(room);
  room.addEventListener("state", () => {
    showLine(room);
    joinedAt = performance.now();
  });
  room.addEventListener("error", (error) => refuse(room, error));
  room.addEventListener("member", ({ member }) => {
    tile(member).showMember(member);
    member.send({ state: ownState() });
    showCount(room);
    // Those who were there before have not come just now.
    if (performance.now() - joinedAt > 5000) tell(`${member.name} has joined.`);
  });
  room.addEventListener("left", ({ member, cause }) => {
    tiles.remove(member.id);
    showCount(room);
    if (cause in LEFT) tell(LEFT[cause](member.name));
  });
  for (const type of ["change", "stream", "connection"]) {
    room.addEventListener(type, ({ member }) => tile(member).showMember(member));
  }
  room.addEventListener("change", () => limitRates(room));
  room.addEventListener("message", ({ member, data }) => {
    if (data?.state) tile(member).setState(data.state);
  });
}

function showLine(room) {
  const words = { connecting: "Joining …", reconnecting: "The server is not reached. Trying again …" };
  at("line").textContent = words[room.state] ?? "";
  at("line").hidden = !(room.state in words);
  if (room.state === "joined") enter(room);
}

function enter(room) {
  const { room: name, relayOnly } = room.options;
  history.replaceState(null, "", `#${new URLSearchParams({ room: name })}`);
  document.title = `${name}: a call`;
  at("room-name").textContent = name;
  at("alone-link").textContent = at("alone-link").href = location.href;
  if (isHereOnly()) at("alone-words").textContent = `${HERE_ONLY} To see people elsewhere, open the page at the address of this machine.`;
  at("relay").checked = relayOnly;
  if (!at("call").hidden) return;
  door.close();
  at("call").hidden = false;
  showOwn();
  showCount(room);
  at("mic").focus();
}

/** Says why the server did not do what was asked, and opens the door again if that ends the call. */
function refuse(current, { code, message }) {
  if (code === "unreachable") {
    if (!at("start").hidden) door.complain(SENTENCES.unreachable);
    return;
  }
  const isFirst = code === "forbidden" && !current.options.secret;
  const sentence = isFirst ? "This room needs its secret." : SENTENCES[code];
  if (!sentence) return console.warn(`signaling: ${code}: ${message}`);
  quit(current);
  door.open(isFirst ? "Join the call" : "You are not in the call", sentence, code === "forbidden");
}

function quit(current) {
  current.leave();
  room = null;
  tiles.clear();
  chat.toggle(false);
  at("call").hidden = true;
}

function showOwn() {
  showSwitches();
  if (room && !at("call").hidden) tiles.of("own", `${door.name} (you)`).showOwn(media.stream, { ...ownState(), isDrawn: media.isDrawn });
}

function showSwitches() {
  const { isMuted, isCameraOff, isSharing } = media;
  for (const id of ["mic", "door-mic"]) press(at(id), isMuted, isMuted ? "mic-off" : "mic", isMuted ? "Unmute the microphone" : "Mute the microphone");
  for (const id of ["camera", "door-camera"]) {
    press(at(id), isCameraOff, isCameraOff ? "camera-off" : "camera", isCameraOff ? "Turn the camera on" : "Turn the camera off");
  }
  press(at("screen"), isSharing, "screen", isSharing ? "Stop sharing the screen" : "Share the screen");
}

function press(button, isPressed, name, label) {
  button.classList.toggle("on", isPressed);
  button.setAttribute("aria-label", label);
  button.replaceChildren(icon(name));
}

function showCount(room) {
  at("alone").hidden = room.members.size > 0;
}

function ownState() {
  const { isMuted, isCameraOff, isSharing } = media;
  return { isMuted, isSharing, isCameraOff: isCameraOff && !isSharing };
}

/** Shares what a line of today carries among the members. */
async function limitRates(room) {
  const most = Math.round(3e6 / Math.max(1, room.members.size));
  for (const { connection } of room.members.values()) {
    const sender = connection?.getSenders().find(({ track }) => track?.kind === "video");
    const parameters = sender?.getParameters();
    if (!parameters?.encodings?.length || parameters.encodings[0].maxBitrate === most) continue;
    parameters.encodings[0].maxBitrate = most;
    // A connection that ends meanwhile takes no parameters.
    await sender.setParameters(parameters).catch(() => {});
  }
}

/** Shows a sentence for a while, and keeps it in the chat. */
function tell(sentence) {
  chat.note(sentence);
  const note = Object.assign(document.createElement("p"), { className: "note", textContent: sentence });
  at("notices").append(note);
  setTimeout(() => note.remove(), 6000);
}

async function copyLink() {
  await navigator.clipboard?.writeText(location.href).catch(() => {});
  if (!navigator.clipboard) {
    // Without HTTPS this is the only way.
    getSelection().selectAllChildren(at("alone-link"));
    document.execCommand("copy");
    getSelection().removeAllRanges();
  }
  tell(isHereOnly() ? `The link is copied. ${HERE_ONLY}` : "The link is copied. Whoever opens it is in the call.");
}

/** Whether the page was opened by a name that means another machine elsewhere. */
function isHereOnly() {
  return /^(localhost|127\.[0-9.]+|\[::1\])$/.test(location.hostname);
}

for (const id of ["mic", "door-mic"]) at(id).addEventListener("click", () => media.setMuted(!media.isMuted));
for (const id of ["camera", "door-camera"]) at(id).addEventListener("click", () => media.setCameraOff(!media.isCameraOff));
at("screen").addEventListener("click", async () => {
  if (media.isSharing) media.unshare();
  else await media.share().catch((error) => tell(error.message));
});
at("copy").addEventListener("click", copyLink);
at("settings-open").addEventListener("click", () => at("settings").showModal());
at("relay").addEventListener("change", () => room?.setRelayOnly(at("relay").checked));
at("numbers").addEventListener("change", () => tiles.showNumbers(at("numbers").checked));
at("leave").addEventListener("click", () => {
  quit(room);
  door.open("You have left the call");
});
at("tiles").addEventListener("silent", () => {
  tell("The browser plays no sound before you click somewhere in the page.");
  document.addEventListener("click", () => tiles.play(), { once: true });
});
addEventListener("dragover", (event) => room && event.preventDefault());
addEventListener("drop", (event) => {
  if (!room) return;
  event.preventDefault();
  chat.sendFiles(event.dataTransfer.files);
});
// Another link was opened in this page.
addEventListener("hashchange", () => location.reload());
// The others hear at once that a page was closed. One that comes back out of the browser's memory begins anew.
addEventListener("pagehide", () => room?.leave());
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

offerDevices(media);
media.begin();

const HERE_ONLY = "This link works on this machine only.";
const LEFT = {
  left: (name) => `${name} has left.`,
  gone: (name) => `${name} lost the network and did not come back.`,
  ended: (name) => `The server ended the connection of ${name}.`,
};
const SENTENCES = {
  unreachable: "The server is not reached. It may be down, or this network may not let pages connect to it. Trying again …",
  forbidden: "The secret of the room is wrong.",
  "room-full": "The room is full.",
  "too-many": "The server has as many visitors as it takes. Try again later.",
  "too-large": "Something was larger than the server takes.",
  "bad-message": "The server does not understand this page. Reload it: the two may be of different versions.",
};

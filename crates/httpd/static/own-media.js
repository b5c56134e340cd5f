// The media of this end of a call: camera and microphone, a shared screen, or what is drawn in their place.

import { Picture, Tone } from "./synthetic.js";

/** Emits `change` when the stream has other tracks, `note` when there is something to say about them. */
export class OwnMedia extends EventTarget {
  #sources = { audio: null, video: null };
  #chosen = { audio: undefined, video: undefined };
  #screen = null;

  constructor() {
    super();
    this.name = "";
    this.stream = new MediaStream();
    this.isMuted = false;
    this.isCameraOff = false;
    this.note = "";
  }

  get isSharing() {
    return this.#screen !== null;
  }

  /** Whether the picture is drawn, and so not to be mirrored. */
  get isDrawn() {
    return this.isSharing || this.#sources.video?.isDrawn === true;
  }

  /** Takes camera and microphone, or whatever there is. */
  async begin() {
    const tracks = await this.#capture(["audio", "video"]);
    this.#place(tracks);
  }

  async setMuted(isMuted) {
    this.isMuted = isMuted;
    if (this.#sources.audio) this.#sources.audio.enabled = !isMuted;
    this.#changed();
  }

  /** A camera that is off is let go, and its light with it. */
  async setCameraOff(isCameraOff) {
    this.isCameraOff = isCameraOff;
    if (isCameraOff) this.#put("video", null);
    else this.#place(await this.#capture(["video"]));
    this.#changed();
  }

  /** Takes another microphone ("audioinput") or camera ("videoinput"). */
  async choose(kind, id) {
    const media = kind === "audioinput" ? "audio" : "video";
    this.#chosen[media] = id;
    if (media === "video" && this.isCameraOff) return;
    this.#place(await this.#capture([media]));
  }

  async devices() {
    return (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  }

  /** Shares the screen until that is ended here or in the browser's own bar. Fails with a sentence. */
  async share() {
    if (!navigator.mediaDevices?.getDisplayMedia) throw new Error(withoutMedia("The screen is not shared"));
    let shared;
    try {
      shared = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 } } });
    } catch (error) {
      throw new Error(`The screen is not shared: ${error.name === "NotAllowedError" ? "this was refused." : error.message}`);
    }
    [this.#screen] = shared.getVideoTracks();
    this.#screen.contentHint = "detail";
    this.#screen.onended = () => this.unshare();
    this.#changed();
  }

  unshare() {
    this.#screen?.stop();
    this.#screen = null;
    this.#changed();
  }

  end() {
    this.#screen?.stop();
    this.#screen = null;
    this.#put("audio", null);
    this.#put("video", null);
    this.#changed();
  }

  async #capture(kinds) {
    const { tracks, note } = await captured(kinds, this.#chosen);
    this.note = note;
    this.dispatchEvent(new Event("note"));
    const missing = kinds.filter((kind) => !tracks.some((track) => track.kind === kind));
    return [...tracks, ...missing.map((kind) => (kind === "video" ? new Picture(() => this.name).track : new Tone().track))];
  }

  #place(tracks) {
    for (const track of tracks) {
      // The camera may have been turned off while the browser asked for permission.
      if (track.kind === "video" && this.isCameraOff) track.stop();
      else this.#put(track.kind, track);
    }
    this.#changed();
  }

  #put(kind, track) {
    this.#sources[kind]?.stop();
    this.#sources[kind] = track;
    if (track?.kind === "audio") track.enabled = !this.isMuted;
    track?.addEventListener("ended", () => this.#sources[kind] === track && this.#replace(kind));
  }

  /** The device was pulled out, or the permission taken back. */
  async #replace(kind) {
    this.#sources[kind] = null;
    this.#place(await this.#capture([kind]));
  }

  #changed() {
    const { audio, video } = this.#sources;
    this.stream = new MediaStream([audio, this.#screen ?? video].filter(Boolean));
    this.dispatchEvent(new Event("change"));
  }
}

/** The tracks of devices that there are, and a sentence about those that there are not. */
async function captured(kinds, chosen) {
  if (!navigator.mediaDevices?.getUserMedia) return { tracks: [], note: withoutMedia(REPLACED) };
  const wishes = {
    audio: { deviceId: chosen.audio },
    video: { deviceId: chosen.video, width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { max: 30 } },
  };
  const ask = (kinds) => navigator.mediaDevices.getUserMedia(Object.fromEntries(kinds.map((kind) => [kind, wishes[kind]])));
  try {
    return { tracks: (await ask(kinds)).getTracks(), note: "" };
  } catch (error) {
    if (kinds.length === 1 || error.name === "NotAllowedError") return { tracks: [], note: said(error, kinds), error };
  }
  // One of two devices may be missing.
  const each = await Promise.all(kinds.map((kind) => captured([kind], chosen)));
  const errors = each.map(({ error }) => error?.name);
  const note = errors[0] && errors.every((name) => name === errors[0])
    ? said(each[0].error, kinds)
    : each.map(({ note }) => note).filter(Boolean).join(" ");
  return { tracks: each.flatMap(({ tracks }) => tracks), note };
}

function said(error, kinds) {
  const what = kinds.map((kind) => NAMES[kind]).join(" and ");
  switch (error.name) {
    case "NotAllowedError": return `The browser blocks ${what}. Allow it in the address bar, then reload. ${REPLACED}.`;
    case "NotFoundError": return `There is no ${kinds.map((kind) => NAMES[kind]).join(" and no ")} on this device. ${REPLACED}.`;
    case "NotReadableError": return `Another program uses the ${what}, or the system blocks it. ${REPLACED}.`;
    default: return `The ${what} does not start (${error.message || error.name}). ${REPLACED}.`;
  }
}

function withoutMedia(effect) {
  if (window.isSecureContext) return `${effect}: this browser has no way to do it.`;
  return `${effect}, as this page was not opened over HTTPS. Try https://${location.host}/ instead.`;
}

const NAMES = { audio: "microphone", video: "camera" };
const REPLACED = "A drawn picture and a soft tone stand in";

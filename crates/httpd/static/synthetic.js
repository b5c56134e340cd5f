// A picture and a tone that need no camera, no microphone and no permission.

/** A disc that moves over a colored ground, with a name, which may change, and the time. */
export class Picture {
  constructor(name) {
    const canvas = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
    const context = canvas.getContext("2d");
    const draw = () => paint(context, name(), performance.now() / 1000);
    draw();
    // Frames of animation stop in a hidden tab, a timer goes on.
    const timer = setInterval(draw, 1000 / RATE);
    [this.track] = canvas.captureStream(RATE).getVideoTracks();
    this.track.isDrawn = true;
    onStop(this.track, () => clearInterval(timer));
  }
}

/** A soft tone that comes and goes. */
export class Tone {
  constructor() {
    const context = new AudioContext();
    const tone = new OscillatorNode(context, { frequency: 220 });
    const swell = new OscillatorNode(context, { frequency: 0.4 });
    const depth = new GainNode(context, { gain: 0.01 });
    const volume = new GainNode(context, { gain: 0.012 });
    const output = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
    swell.connect(depth).connect(volume.gain);
    tone.connect(volume).connect(output);
    tone.start();
    swell.start();
    // Without a gesture of the user there is no sound yet.
    const resume = () => context.resume();
    document.addEventListener("click", resume);
    [this.track] = output.stream.getAudioTracks();
    onStop(this.track, () => {
      document.removeEventListener("click", resume);
      context.close();
    });
  }
}

function paint(context, name, seconds) {
  const hue = hueOf(name);
  const ground = context.createLinearGradient(0, 0, WIDTH, HEIGHT);
  ground.addColorStop(0, `hsl(${hue} 38% 34%)`);
  ground.addColorStop(1, `hsl(${(hue + 35) % 360} 42% 16%)`);
  context.fillStyle = ground;
  context.fillRect(0, 0, WIDTH, HEIGHT);
  context.fillStyle = `hsl(${(hue + 50) % 360} 70% 72% / 0.85)`;
  context.beginPath();
  const x = WIDTH / 2 + Math.sin(seconds * 0.9) * WIDTH * 0.26;
  const y = HEIGHT / 2 + Math.cos(seconds * 1.3) * HEIGHT * 0.24;
  context.arc(x, y, HEIGHT / 7, 0, 2 * Math.PI);
  context.fill();
  context.fillStyle = "rgb(255 255 255 / 0.92)";
  context.textAlign = "center";
  context.font = `600 ${HEIGHT / 9}px system-ui, sans-serif`;
  context.fillText(name || "Guest", WIDTH / 2, HEIGHT / 2 + HEIGHT / 24, WIDTH * 0.6);
  context.font = `${HEIGHT / 16}px system-ui, sans-serif`;
  context.fillText(new Date().toLocaleTimeString(), WIDTH / 2, HEIGHT * 0.68);
}

/** The color that belongs to a name. */
export function hueOf(name) {
  return [...name].reduce((hue, letter) => (hue * 37 + letter.codePointAt(0)) % 360, 200);
}

/** Acts when the track is stopped, which the browser tells nobody. */
function onStop(track, act) {
  const stop = track.stop.bind(track);
  track.stop = () => {
    stop();
    act();
  };
}

const WIDTH = 384;
const HEIGHT = 216;
const RATE = 10;

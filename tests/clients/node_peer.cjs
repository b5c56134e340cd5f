// Peers of werift and of node-datachannel (libdatachannel, whose TURN client is libjuice), by the contract of README.md.
//
// Both offer the RTCPeerConnection of browsers. `--stack` names the package. NODE_PATH says where packages are, which is
// why this is no module: import does not read it.

const readline = require("node:readline");
const { parseArgs } = require("node:util");

const option = { type: "string" };
const { values: options } = parseArgs({
  options: { stack: option, role: option, uri: option, username: option, password: option },
});
const packages = { werift: "werift", "node-datachannel": "node-datachannel/polyfill" };
const { RTCPeerConnection } = require(packages[options.stack]);

const report = (what) => process.stdout.write(JSON.stringify(what) + "\n");

// Speaks and listens on the data channel from when it opens.
function use(channel) {
  let received = 0;
  const opened = () => {
    report({ connected: true });
    let number = 0;
    setInterval(() => channel.readyState === "open" && channel.send(String(number++)), 200);
    setInterval(() => report({ received }), 1000);
  };
  channel.onmessage = () => received++;
  channel.onclose = () => report({ closed: "the data channel closed" });
  if (channel.readyState === "open") opened();
  else channel.onopen = opened;
}

// Reports a description once all candidates are in it.
async function describe(description) {
  await connection.setLocalDescription(description);
  while (connection.iceGatheringState !== "complete") {
    await new Promise((done) => setTimeout(done, 10));
  }
  const { type, sdp } = connection.localDescription;
  report({ description: { type, sdp } });
}

const { uri: urls, username, password: credential } = options;
const connection = new RTCPeerConnection({
  iceServers: [{ urls, username, credential }],
  iceTransportPolicy: "relay",
});
connection.onconnectionstatechange = () => {
  const state = connection.connectionState;
  if (state === "failed" || state === "closed") report({ closed: `the connection is ${state}` });
};

async function call() {
  if (options.role === "offer") {
    use(connection.createDataChannel("numbers"));
    await describe(await connection.createOffer());
  } else {
    connection.ondatachannel = (event) => use(event.channel);
  }
  for await (const line of readline.createInterface({ input: process.stdin })) {
    await connection.setRemoteDescription(JSON.parse(line).description);
    if (options.role === "answer") await describe(await connection.createAnswer());
  }
}

call().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);

//! Browsers that a test drives: it opens pages in them and evaluates JavaScript there, as a person with
//! the browser's own console does.
//!
//! Firefox speaks WebDriver BiDi, and Chromium its DevTools protocol. Both are JSON over a WebSocket, and
//! little of either is used here.

mod keyboard;

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::Command,
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket, client};

use crate::{PATIENCE, browser::Browser, machine::Machine, program::Program, wait_for};

/// A browser with one page. It ends, and its home is removed, when dropped.
pub struct Driven {
    // Fields are dropped in this order: the browser must be gone before its home.
    program: Program,
    wire: Wire,
    _home: TempDir,
}

impl Driven {
    /// Opens `browser` on a host. If pages of an origin are to have devices, there are a camera and a
    /// microphone, which are the browser's own invention, and the origin counts as secure.
    pub fn open(browser: Browser, host: &Machine, devices_for: Option<&str>) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        if browser == Browser::Firefox {
            // Read after `user.js`, which the browser's command writes.
            let preferences = firefox_preferences(devices_for.is_some());
            fs::write(home.path().join("prefs.js"), preferences).expect("the home is ours");
        }
        let mut command = browser.command(|program| host.command(program), &home);
        match browser {
            Browser::Chromium => chromium_flags(&mut command, devices_for),
            Browser::Firefox => {
                command.args(["--remote-debugging-port", "0"]);
                command.envs([
                    ("MOZ_HEADLESS_WIDTH", "640"),
                    ("MOZ_HEADLESS_HEIGHT", "480"),
                ]);
            }
        }
        command.arg("about:blank");
        let mut program = Program::start(command);
        let words = match browser {
            Browser::Chromium => "DevTools listening on ",
            Browser::Firefox => "WebDriver BiDi listening on ",
        };
        let url = wait_for("the browser's own port", 3 * PATIENCE, || {
            assert_eq!(program.ended(), None, "the browser ended");
            let output = program.output();
            let (_, rest) = output.split_once(words)?;
            Some(rest.split_once('\n')?.0.trim().to_owned())
        });
        let wire = Wire::open(browser, host, &url);
        Self {
            program,
            wire,
            _home: home,
        }
    }

    /// Opens a page, and waits until it is there with all its scripts.
    #[track_caller]
    pub fn visit(&mut self, url: &str) {
        self.wire.navigate(url);
        self.wait_until("document.readyState === 'complete' && location.protocol !== 'about:'");
    }

    /// Loads the page once more, and waits until it is there.
    #[track_caller]
    pub fn reload(&mut self) {
        self.evaluate("window.isOld = true;");
        self.wire.reload();
        self.wait_until("!window.isOld && document.readyState === 'complete'");
    }

    /// The value that the body of an asynchronous function returns in the page, as JSON knows it. It is
    /// run as if the user had just clicked.
    #[track_caller]
    pub fn evaluate(&mut self, body: &str) -> Value {
        let what = |error: String| panic!("{error}: {body}");
        self.wire.evaluate(body).unwrap_or_else(what)
    }

    /// The errors of scripts, and what the browser refused or could not load, since it was opened.
    #[track_caller]
    pub fn complaints(&mut self) -> Vec<String> {
        // Complaints from before its answer were told by then.
        self.evaluate("");
        self.wire.complaints.clone()
    }

    /// Shows pages as on a screen of this width, in CSS pixels, light or dark. Only Chromium can.
    #[track_caller]
    pub fn look(&mut self, width: u32, is_dark: bool) {
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let screen =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.wire.ask("Emulation.setDeviceMetricsOverride", screen);
        self.wire.ask(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
    }

    /// The addresses of all pages that one comes back to, this one among them. Only Chromium can.
    #[track_caller]
    pub fn history(&mut self) -> Vec<String> {
        let history = self.wire.ask("Page.getNavigationHistory", json!({}));
        let entries = history["entries"].as_array().expect("a list").iter();
        entries.map(|entry| text(&entry["url"])).collect()
    }

    /// A picture of the whole page in the PNG format, looked at in this way.
    #[track_caller]
    pub fn picture(&mut self, width: u32, is_dark: bool) -> Vec<u8> {
        self.look(width, is_dark);
        let height = self.evaluate("return document.documentElement.scrollHeight;");
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let about = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.wire.ask("Page.captureScreenshot", about);
        let bytes = BASE64_STANDARD.decode(text(&picture["data"]));
        bytes.expect("a picture")
    }

    /// Waits until an expression is true in the page.
    #[track_caller]
    pub fn wait_until(&mut self, expression: &str) {
        let body = format!("return Boolean({expression});");
        wait_for(expression, 3 * PATIENCE, || {
            assert_eq!(self.program.ended(), None, "the browser ended");
            // A page that is about to go answers nothing.
            (self.wire.evaluate(&body) == Ok(Value::Bool(true))).then_some(())
        });
    }
}

/// The connection to a browser, and the page in it.
struct Wire {
    browser: Browser,
    socket: WebSocket<TcpStream>,
    number: u64,
    /// The browser's own name for the page.
    page: String,
    /// The complaints of the browser.
    complaints: Vec<String>,
}

impl Wire {
    fn open(browser: Browser, host: &Machine, url: &str) -> Self {
        let at = url.trim_start_matches("ws://");
        let address = at.split_once('/').map_or(at, |(address, _)| address);
        let address: SocketAddr = address.parse().expect("an address");
        let stream = host.connect(address).expect("the browser listens");
        stream
            .set_read_timeout(Some(3 * PATIENCE))
            .expect("not zero");
        let url = match browser {
            Browser::Chromium => url.to_owned(),
            Browser::Firefox => format!("{url}/session"),
        };
        let (socket, _) = client(url, stream).expect("a WebSocket");
        let mut wire = Self {
            browser,
            socket,
            number: 0,
            page: String::new(),
            complaints: Vec::new(),
        };
        wire.page = wire.first_page();
        match browser {
            Browser::Chromium => {
                wire.ask("Runtime.enable", json!({}));
                wire.ask("Log.enable", json!({}));
            }
            Browser::Firefox => {
                wire.ask("session.subscribe", json!({ "events": ["log.entryAdded"] }));
            }
        }
        wire
    }

    fn first_page(&mut self) -> String {
        match self.browser {
            Browser::Chromium => {
                let targets = self.ask("Target.getTargets", json!({}));
                let targets = targets["targetInfos"].as_array().expect("a list").clone();
                let page = targets.iter().find(|target| target["type"] == "page");
                let target = &page.expect("a page")["targetId"];
                let about = json!({ "targetId": target, "flatten": true });
                text(&self.ask("Target.attachToTarget", about)["sessionId"])
            }
            Browser::Firefox => {
                self.ask("session.new", json!({ "capabilities": {} }));
                let tree = self.ask("browsingContext.getTree", json!({}));
                text(&tree["contexts"][0]["context"])
            }
        }
    }

    fn navigate(&mut self, url: &str) {
        match self.browser {
            Browser::Chromium => self.ask("Page.navigate", json!({ "url": url })),
            Browser::Firefox => {
                let about = json!({ "context": self.page, "url": url, "wait": "complete" });
                self.ask("browsingContext.navigate", about)
            }
        };
    }

    fn reload(&mut self) {
        match self.browser {
            Browser::Chromium => self.ask("Page.reload", json!({})),
            Browser::Firefox => {
                let about = json!({ "context": self.page, "wait": "complete" });
                self.ask("browsingContext.reload", about)
            }
        };
    }

    fn evaluate(&mut self, body: &str) -> Result<Value, String> {
        let wrapped =
            format!("(async () => JSON.stringify((await (async () => {{{body}}})()) ?? null))()");
        let answer = match self.browser {
            Browser::Chromium => self.try_to_ask(
                "Runtime.evaluate",
                json!({ "expression": wrapped, "awaitPromise": true, "returnByValue": true, "userGesture": true }),
            ),
            Browser::Firefox => self.try_to_ask(
                "script.evaluate",
                json!({ "expression": wrapped, "awaitPromise": true, "userActivation": true, "target": { "context": self.page } }),
            ),
        }?;
        let value = &answer["result"]["value"];
        let value = value.as_str().ok_or_else(|| answer.to_string())?;
        Ok(serde_json::from_str(value).expect("what JSON.stringify wrote"))
    }

    #[track_caller]
    fn ask(&mut self, method: &str, about: Value) -> Value {
        let what = |error: String| panic!("{method}: {error}");
        self.try_to_ask(method, about).unwrap_or_else(what)
    }

    fn try_to_ask(&mut self, method: &str, about: Value) -> Result<Value, String> {
        self.number += 1;
        let mut command = json!({ "id": self.number, "method": method, "params": about });
        if self.browser == Browser::Chromium && !self.page.is_empty() {
            command["sessionId"] = json!(self.page);
        }
        let sent = self.socket.send(Message::text(command.to_string()));
        sent.map_err(|error| error.to_string())?;
        loop {
            let message = self.socket.read().map_err(|error| error.to_string())?;
            let Message::Text(message) = message else {
                continue;
            };
            let mut message: Value = serde_json::from_str(&message).expect("JSON");
            self.complaints.extend(complaint(&message));
            // The others are events.
            if message["id"] == self.number {
                return match message.get("error") {
                    Some(_) => Err(message.to_string()),
                    None => Ok(message["result"].take()),
                };
            }
        }
    }
}

/// The complaint of an event.
fn complaint(event: &Value) -> Option<String> {
    let about = &event["params"];
    let is_error = match event["method"].as_str()? {
        "Runtime.exceptionThrown" => true,
        "Log.entryAdded" => about["entry"]["level"] == "error",
        "log.entryAdded" => about["level"] == "error",
        _ => false,
    };
    is_error.then(|| about.to_string())
}

fn chromium_flags(command: &mut Command, devices_for: Option<&str>) {
    command.args([
        "--remote-debugging-port=0",
        "--autoplay-policy=no-user-gesture-required",
        // There is nobody in these networks to answer for names of multicast DNS.
        "--disable-features=WebRtcHideLocalIpsWithMdns",
        "--window-size=640,480",
    ]);
    if let Some(origin) = devices_for {
        command.args([
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
        ]);
        command.arg(format!(
            "--unsafely-treat-insecure-origin-as-secure={origin}"
        ));
    }
}

fn firefox_preferences(has_devices: bool) -> String {
    let preference = |(name, value): (&str, &str)| format!("user_pref(\"{name}\", {value});\n");
    let always = [
        ("media.autoplay.default", "0"),
        ("media.peerconnection.ice.obfuscate_host_addresses", "false"),
    ];
    let devices = [
        ("media.navigator.streams.fake", "true"),
        ("media.navigator.permission.disabled", "true"),
        ("media.devices.insecure.enabled", "true"),
        ("media.getusermedia.insecure.enabled", "true"),
    ];
    let devices = devices.into_iter().filter(|_| has_devices);
    always.into_iter().chain(devices).map(preference).collect()
}

#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

//! The services whose guides a file comes from, and what else to look at there.

use super::lines::File;

/// A service that uses the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Nextcloud,
    Matrix,
    Jitsi,
    BigBlueButton,
    LiveKit,
}

/// The services that the file is for, by names in it, or else by the settings that guides print.
pub(super) fn recognise(file: &File) -> Vec<Shape> {
    let named = Shape::ALL.into_iter().filter(|shape| {
        let mut words = shape.words().iter();
        words.any(|word| file.words.iter().any(|it| it == word))
    });
    let named: Vec<Shape> = named.collect();
    if !named.is_empty() {
        return named;
    }
    let has_secret = file.has("use-auth-secret") || file.has("static-auth-secret");
    let quota = |name| file.number(name);
    let guess = if quota("user-quota") == Some(12) && quota("total-quota") == Some(1200) {
        Some(Shape::Matrix)
    } else if has_secret
        && quota("bps-capacity") == Some(0)
        && file.has("total-quota")
        && !file.has("user-quota")
    {
        Some(Shape::Nextcloud)
    } else if has_secret && file.has("keep-address-family") && file.has("allowed-peer-ip") {
        Some(Shape::BigBlueButton)
    } else if has_secret && file.has("keep-address-family") {
        Some(Shape::Jitsi)
    } else {
        None
    };
    guess.into_iter().collect()
}

impl Shape {
    const ALL: [Self; 5] = [
        Self::Nextcloud,
        Self::Matrix,
        Self::Jitsi,
        Self::BigBlueButton,
        Self::LiveKit,
    ];

    /// Words that stand in files for it, in lower case.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Nextcloud => &["nextcloud", "owncloud", "spreed"],
            Self::Matrix => &["matrix", "synapse", "dendrite", "homeserver"],
            Self::Jitsi => &["jitsi", "jvb"],
            Self::BigBlueButton => &["bigbluebutton", "bbb"],
            Self::LiveKit => &["livekit"],
        }
    }

    pub(super) fn heading(self) -> String {
        let name = match self {
            Self::Nextcloud => "Nextcloud Talk",
            Self::Matrix => "a Matrix homeserver",
            Self::Jitsi => "Jitsi Meet",
            Self::BigBlueButton => "BigBlueButton",
            Self::LiveKit => "LiveKit",
        };
        format!("this looks like a file for {name}; check these things there:")
    }

    /// With the same host, ports and secret nothing has to change in any of them.
    pub(super) fn advice(self) -> Vec<String> {
        let advice: &[&str] = match self {
            Self::Nextcloud => &[
                "administration, Talk: the TURN server's name and port and its secret stay as they are; the check mark there tests the server",
                "with a high-performance backend: its server.conf has the secret again, under [turn]; a backend on a private address or on this host needs [peers] allow, with its ports for media",
            ],
            Self::Matrix => &[
                "homeserver.yaml: turn_uris and turn_shared_secret stay as they are; turn_user_lifetime is how long a credential lasts",
                "Element Call has an SFU: on a private address or on this host it needs [peers] allow",
            ],
            Self::Jitsi => &[
                "prosody: external_service_secret and external_services stay as they are (older: turncredentials_secret)",
                "a videobridge on this host or on a private address needs [peers] allow with its port, such as \"10.0.0.5:10000\"",
                "nginx may pass port 443 on to 5349 by its stream module: [proxy-protocol] if it tells the address of clients; or let Hairpin have port 443 and pass the web on with [web] https-backend",
            ],
            Self::BigBlueButton => &[
                "/etc/bigbluebutton/turn-stun-servers.xml: URLs and secret stay as they are",
                "FreeSWITCH and the media servers are the peers: on this host or on a private address they need [peers] allow, with UDP 16384-32768",
                "BigBlueButton from 2.6 on installs a coturn of its own: stop that one (systemctl disable --now coturn), or it keeps the ports",
            ],
            Self::LiveKit => &[
                "livekit.yaml: rtc.turn_servers has host, port and protocol, with username and credential: a time-limited credential expires, so use a user of [auth.users]",
                "LiveKit has a TURN server of its own: turn.enabled = false where this one takes its ports",
                "on this host or on a private address LiveKit needs [peers] allow with its ports, 50000-60000 or rtc.udp_port",
            ],
        };
        advice
            .iter()
            .map(|sentence| (*sentence).to_owned())
            .collect()
    }
}

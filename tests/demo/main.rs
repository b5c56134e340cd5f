//! The pages of `serve --demo` in real browsers: the call page, with two that call each other, and a room of four to
//! which everything happens that happens to calls, each in a home of its own; and the test page, which measures.

mod four;
mod member;
mod pairs;
mod test_page;

use std::{net::SocketAddr, time::Duration};

use lab::{
    internet::{Internet, server_v4},
    server::Server,
    servers::hairpin,
};

/// The server, with the pages that `--demo` shows.
fn demo(_: &Internet) -> Server {
    let listen = SocketAddr::new(server_v4(SERVER).into(), 80);
    hairpin(
        &[SERVER],
        &format!("http.listen = ['{listen}']\ndemo.enabled = true\nauth.secrets = ['{SECRET}']"),
    )
}

/// The page's origin.
fn origin() -> String {
    format!("http://{}", server_v4(SERVER))
}

/// Many times what a test takes on a machine that does nothing else: browsers share the processors with
/// whatever runs beside them.
const LIFETIME: Duration = Duration::from_secs(300);
const SERVER: u8 = 1;
const SECRET: &str = "a secret of the demo";

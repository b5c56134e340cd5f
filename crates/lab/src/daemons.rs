//! Debian's proxies and web servers: nginx and haproxy.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
};

use tempfile::TempDir;

use crate::{PATIENCE, program::Program, wait_for};

/// A program with one configuration file, stopped when dropped.
pub struct Daemon {
    /// The program itself.
    pub program: Program,
    _files: TempDir,
}

/// Starts nginx by a command from `how`; `blocks` are those of `http` and `stream`. When it
/// returns, nginx listens.
#[track_caller]
pub fn nginx(how: impl FnOnce(&str) -> Command, blocks: &str) -> Daemon {
    let files = TempDir::new().expect("a temporary directory");
    let directory = files.path().display();
    let pid = files.path().join("pid");
    let configuration = format!(
        "load_module {STREAM_MODULE};\n\
         daemon off;\nuser root;\nworker_processes 1;\nerror_log stderr;\npid {};\n\
         events {{ worker_connections 4096; }}\n{}\n",
        pid.display(),
        blocks.replace(
            "http {",
            &format!("http {{ {}", http_files(&directory.to_string()))
        ),
    );
    let file = write(files.path(), "nginx.conf", &configuration);
    let mut command = how("nginx");
    command.arg("-e").arg("stderr").arg("-c").arg(file);
    let mut program = Program::start(command);
    wait_for("nginx to listen", PATIENCE, || {
        assert_eq!(program.ended(), None, "nginx ended");
        // It writes the file once its listeners are bound.
        fs::read_to_string(&pid).ok().filter(|pid| !pid.is_empty())
    });
    Daemon {
        program,
        _files: files,
    }
}

/// Starts haproxy by a command from `how`, for streams, with these sections. When it returns, it
/// takes connections at `listen`.
#[track_caller]
pub fn haproxy(how: impl FnOnce(&str) -> Command, sections: &str, listen: SocketAddr) -> Daemon {
    let files = TempDir::new().expect("a temporary directory");
    let configuration = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n\
         {sections}\n"
    );
    let file = write(files.path(), "haproxy.cfg", &configuration);
    let mut command = how("haproxy");
    command.arg("-db").arg("-f").arg(file);
    let mut program = Program::start(command);
    wait_for("haproxy to listen", PATIENCE, || {
        assert_eq!(program.ended(), None, "haproxy ended");
        TcpStream::connect(listen).ok()
    });
    Daemon {
        program,
        _files: files,
    }
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let file = directory.join(name);
    fs::write(&file, text).expect("the directory is ours");
    file.display().to_string()
}

/// Where nginx keeps what it has in files, which by default is where Debian's service has it.
fn http_files(directory: &str) -> String {
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths = kinds.map(|kind| format!("{kind}_temp_path {directory}/{kind}; "));
    format!("access_log off; {}", paths.concat())
}

/// Debian's package `libnginx-mod-stream` brings it.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

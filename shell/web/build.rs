//! Lists what `cargo xtask console` made, so that it becomes part of the binary. Without it there is nothing to list.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../console/dist");
    println!("cargo:rerun-if-changed={}", made.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let mut files = Vec::new();
    collect(&made, &mut files);
    files.sort();
    let mut list = String::from("&[\n");
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
        let Ok(path) = file.strip_prefix(&made) else { continue };
        let path = path.to_string_lossy();
        let packed = file.with_file_name(format!(
            "{}.gz",
            file.file_name().unwrap_or_default().to_string_lossy()
        ));
        if path.ends_with(".gz") || !packed.is_file() {
            continue;
        }
        // FNV-1a: it tells one version from another and keeps no secret.
        let octets = fs::read(file).unwrap_or_default();
        let tag = octets.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
            (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
        });
        // Copied, so that what is listed here is there when it is compiled, even if the console is made anew meanwhile.
        let kept = |from: &Path, name: &str| {
            let place = out.join(format!("{tag:016x}{name}"));
            fs::copy(from, &place).unwrap_or_else(|why| panic!("{}: {why}", place.display()));
            place
        };
        let (plain, gzip) = (kept(file, ""), kept(&packed, ".gz"));
        let _ = writeln!(
            list,
            "    Asset {{ path: {path:?}, kind: {:?}, tag: \"{tag:016x}\", plain: include_bytes!({plain:?}), gzip: include_bytes!({gzip:?}) }},",
            kind(&path),
        );
    }
    list.push_str("]\n");
    let list_file = out.join("console.rs");
    fs::write(&list_file, list).unwrap_or_else(|why| panic!("{}: {why}", list_file.display()));
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

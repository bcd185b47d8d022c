//! The flight recorder's file: one for all shards, whole frames in the order they came.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use switchboard::record::{MAGIC, Recorder, Start, hash_outputs_from};
use switchboard::{Clock, Config, Input, Outputs};

/// The file. Clones are the same file.
#[derive(Clone, Debug)]
pub struct Tape(Arc<Mutex<BufWriter<File>>>);

impl Tape {
    /// Begins a recording; nobody else may read it, for it holds the node's secret.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut how = OpenOptions::new();
        let file = how.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut file = BufWriter::new(file);
        file.write_all(MAGIC)?;
        Ok(Self(Arc::new(Mutex::new(file))))
    }

    /// The recorder of one shard.
    pub fn head(&self, config: &Config, rooms: &str) -> Head {
        let mut frame = Vec::new();
        let recorder = Recorder::new(config.index, &Start::new(config, rooms), &mut frame);
        let head = Head { tape: self.clone(), recorder, frame };
        head.write();
        head
    }
}

/// What one shard records with.
#[derive(Debug)]
pub struct Head {
    tape: Tape,
    recorder: Recorder,
    frame: Vec<u8>,
}

impl Head {
    pub fn input(&mut self, input: &Input<'_>, clock: Clock) {
        self.recorder.input(input, clock);
    }

    pub fn outputs(&mut self, outputs: &Outputs, from: usize) {
        self.frame.clear();
        self.recorder.outputs(hash_outputs_from(outputs, from), &mut self.frame);
        self.write();
    }

    /// What a crash should not take; called now and then.
    pub fn flush(&self) {
        let flushed = self.tape.0.lock().unwrap_or_else(PoisonError::into_inner).flush();
        if let Err(error) = flushed {
            tracing::error!(%error, "record_failed");
        }
    }

    fn write(&self) {
        let mut file = self.tape.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(&self.frame) {
            tracing::error!(%error, "record_failed");
        }
    }
}

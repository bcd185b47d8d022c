//! AMR by the libraries that a system has: opened when we start, if they are there.
//!
//! Picture     [`Amr::open`] --dlopen--> functions --> one state of theirs for each decoder and encoder
//! Rules       A library stays open as long as a state of it lives. What is handed over has the size that the library
//!             expects, whoever asks; a frame of a type that it does not know stays here.
//! Limits      `media::amr::FRAME_OCTETS`.
//! Not here    Packets and modes (media::amr), whether AMR is offered (switchboard).
//! Spec        none; the C interfaces of opencore-amr and vo-amrwbenc.
#![allow(unsafe_code, reason = "functions of C that no safe wrapper of ours offers")]

use std::ffi::{c_int, c_short, c_uchar, c_void};
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use libloading::Library;

use media::amr::{Decode, Encode, FRAME_OCTETS};

const NARROW: &str = "libopencore-amrnb.so.0";
const WIDE_DECODER: &str = "libopencore-amrwb.so.0";
const WIDE_ENCODER: &str = "libvo-amrwbenc.so.0";

type Exit = unsafe extern "C" fn(*mut c_void);
type Decoding = unsafe extern "C" fn(*mut c_void, *const c_uchar, *mut c_short, c_int);
type Encoding =
    unsafe extern "C" fn(*mut c_void, c_int, *const c_short, *mut c_uchar, c_int) -> c_int;

/// How a state of a library begins.
#[derive(Clone, Copy)]
enum Init {
    Bare(unsafe extern "C" fn() -> *mut c_void),
    /// With a number: 0 sends silence as sound.
    Number(unsafe extern "C" fn(c_int) -> *mut c_void),
}

/// The libraries that were found.
#[derive(Clone, Default)]
pub struct Amr {
    narrow: Option<Arc<Api>>,
    wide: Option<Arc<Api>>,
}

/// The functions of one band, and what must stay open for them.
struct Api {
    /// Samples of 20 ms.
    frame: usize,
    /// Modes that the encoder knows.
    modes: u8,
    decoder: (Init, Exit, Decoding),
    encoder: (Init, Exit, Encoding),
    _open: Vec<Library>,
}

impl fmt::Debug for Amr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Amr {{ narrow: {}, wide: {} }}", self.has(false), self.has(true))
    }
}

impl Amr {
    /// What the system has.
    pub fn open() -> Self {
        Self { narrow: narrow().map(Arc::new), wide: wide().map(Arc::new) }
    }

    /// Whether AMR is there, or AMR-WB.
    pub const fn has(&self, wide: bool) -> bool {
        if wide { self.wide.is_some() } else { self.narrow.is_some() }
    }

    fn api(&self, wide: bool) -> Option<Arc<Api>> {
        if wide { self.wide.clone() } else { self.narrow.clone() }
    }
}

/// AMR: both halves are in one library. `None`: it is not there, or another one under its name.
fn narrow() -> Option<Api> {
    // SAFETY: the types of the functions are those of opencore-amrnb's interf_dec.h and interf_enc.h; they are called
    // only while the library is open, and its start runs nothing that would harm us.
    unsafe {
        let library = Library::new(NARROW).ok()?;
        let decoder = (
            Init::Bare(*library.get(b"Decoder_Interface_init\0").ok()?),
            *library.get(b"Decoder_Interface_exit\0").ok()?,
            *library.get(b"Decoder_Interface_Decode\0").ok()?,
        );
        let encoder = (
            Init::Number(*library.get(b"Encoder_Interface_init\0").ok()?),
            *library.get(b"Encoder_Interface_exit\0").ok()?,
            *library.get(b"Encoder_Interface_Encode\0").ok()?,
        );
        Some(Api { frame: 160, modes: 8, decoder, encoder, _open: vec![library] })
    }
}

/// AMR-WB: a library for each half. `None`: one is not there, or another one under its name.
fn wide() -> Option<Api> {
    // SAFETY: the types of the functions are those of opencore-amrwb's dec_if.h and vo-amrwbenc's enc_if.h; as above.
    unsafe {
        let (ears, mouth) = (Library::new(WIDE_DECODER).ok()?, Library::new(WIDE_ENCODER).ok()?);
        let decoder = (
            Init::Bare(*ears.get(b"D_IF_init\0").ok()?),
            *ears.get(b"D_IF_exit\0").ok()?,
            *ears.get(b"D_IF_decode\0").ok()?,
        );
        let encoder = (
            Init::Bare(*mouth.get(b"E_IF_init\0").ok()?),
            *mouth.get(b"E_IF_exit\0").ok()?,
            *mouth.get(b"E_IF_encode\0").ok()?,
        );
        Some(Api { frame: 320, modes: 9, decoder, encoder, _open: vec![ears, mouth] })
    }
}

impl media::amr::Library for Amr {
    fn decoder(&self, wide: bool) -> Option<Box<dyn Decode>> {
        let api = self.api(wide)?;
        let state = State::begin(api.decoder.0, api.decoder.1)?;
        Some(Box::new(Decoder { state, api }))
    }

    fn encoder(&self, wide: bool) -> Option<Box<dyn Encode>> {
        let api = self.api(wide)?;
        let state = State::begin(api.encoder.0, api.encoder.1)?;
        Some(Box::new(Encoder { state, api }))
    }
}

/// What a library keeps for one stream. It must be dropped before its library: first in whatever holds both.
struct State {
    at: NonNull<c_void>,
    exit: Exit,
}

// SAFETY: a state is memory of its own; these libraries keep nothing beside it that could be another thread's.
unsafe impl Send for State {}

impl State {
    fn begin(init: Init, exit: Exit) -> Option<Self> {
        // SAFETY: takes nothing, or a number, and gives a new state, or none where memory has ended.
        let at = unsafe {
            match init {
                Init::Bare(init) => init(),
                Init::Number(init) => init(0),
            }
        };
        Some(Self { at: NonNull::new(at)?, exit })
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // SAFETY: the state is ours alone, is not used again, and its library is open.
        unsafe { (self.exit)(self.at.as_ptr()) }
    }
}

struct Decoder {
    state: State,
    api: Arc<Api>,
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &[u8; FRAME_OCTETS], bad: bool, pcm: &mut [i16]) {
        let known = match frame[0] >> 3 & 0xf {
            kind @ 0..=13 => kind <= self.api.modes, // One more than the modes is comfort noise.
            14 => self.api.frame == 320,
            _ => true,
        };
        if !known || pcm.len() != self.api.frame {
            pcm.fill(0);
            return;
        }
        let (run, at) = (self.api.decoder.2, self.state.at.as_ptr());
        // SAFETY: the longest frame that it reads has 61 octets, and it writes as many samples as were just counted.
        unsafe { run(at, frame.as_ptr(), pcm.as_mut_ptr(), bad.into()) }
    }
}

struct Encoder {
    state: State,
    api: Arc<Api>,
}

impl Encode for Encoder {
    fn encode(&mut self, mode: u8, pcm: &[i16], frame: &mut [u8; FRAME_OCTETS]) -> usize {
        if mode >= self.api.modes || pcm.len() != self.api.frame {
            return 0;
        }
        let (run, at) = (self.api.encoder.2, self.state.at.as_ptr());
        // SAFETY: it reads as many samples as were just counted, and the longest frame that it writes has 61 octets.
        let count = unsafe { run(at, mode.into(), pcm.as_ptr(), frame.as_mut_ptr(), 0) };
        usize::try_from(count).unwrap_or(0).min(FRAME_OCTETS)
    }
}

//! Pictures of people and callers: foreign octets in, our own octets out.
//!
//! Picture     sniff -> dimensions from the header -> decode -> turn upright -> three sizes, encoded by us
//! Rules       Nothing of the original file is kept but its pixels: no metadata, no trailing octets. The content
//!             decides what it is, not its label. A transparent picture stands on white.
//! Limits      `PICTURE_BYTES_MAX`, `PICTURE_SIDE_MAX`, `DECODE_BYTES_MAX`; `TINY_BYTES_MAX` for what travels
//!             inside a push. The workers' queue: `QUEUE_MAX`.
//! Not here    Fetching a picture from somewhere; who may see it.
//! Spec        None.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::imageops::{self, FilterType};
use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
    RgbImage,
};

/// The largest file.
pub const PICTURE_BYTES_MAX: usize = 5 << 20;

/// The longest side, in pixels.
pub const PICTURE_SIDE_MAX: u32 = 4096;

/// Memory that decoding may use: 4096×4096 with four channels of 16 bits, and as much again for the decoder.
const DECODE_BYTES_MAX: u64 = 2 * 4096 * 4096 * 8;

/// The longest side of the full picture.
pub const FULL_SIDE_MAX: u32 = 1024;

/// The side of the thumbnail.
pub const THUMBNAIL_SIDE: u32 = 256;

/// The side of the tiny picture.
pub const TINY_SIDE: u32 = 48;

/// What the tiny picture may weigh.
pub const TINY_BYTES_MAX: usize = 1200;

/// Pictures that may wait for a worker.
pub const QUEUE_MAX: usize = 32;

const FULL_QUALITY: u8 = 85;

/// Qualities for the tiny picture, best first.
const TINY_QUALITIES: [u8; 10] = [85, 75, 65, 55, 45, 35, 25, 15, 8, 1];

/// An encoded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The file.
    pub bytes: Vec<u8>,
    /// `image/jpeg` or `image/webp`.
    pub content_type: &'static str,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// What is made of one picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// At most 1024 pixels a side, in its own proportion.
    pub full: Picture,
    /// 256×256, cut from the middle.
    pub thumbnail: Picture,
    /// 48×48, the same cut, at most 1,200 octets.
    pub tiny: Picture,
}

/// Why no picture was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureFault {
    /// All workers are busy and the queue is full; later it may go.
    #[error("too many pictures are waiting")]
    Busy,
    /// The file is damaged or cut off.
    #[error("the picture is damaged")]
    Damaged,
    /// The file is over its limit.
    #[error("the picture has more than 5 MB")]
    TooLarge,
    /// The picture has too many pixels.
    #[error("the picture is larger than 4096 by 4096 pixels")]
    TooManyPixels,
    /// It is no PNG, JPEG or WebP.
    #[error("the file is no PNG, JPEG or WebP picture")]
    Unsupported,
}

/// Makes our pictures of a foreign file. `content_type` is what the sender called it: another kind of content than
/// the three is refused, a mistake among them is not.
pub fn render(bytes: &[u8], content_type: &str) -> Result<Rendered, PictureFault> {
    // A decoder that panics on hostile octets must not take the process along.
    catch_unwind(AssertUnwindSafe(|| render_checked(bytes, content_type))).unwrap_or_else(|_| {
        tracing::error!(bytes = bytes.len(), "picture_decoder_panicked");
        Err(PictureFault::Damaged)
    })
}

fn render_checked(bytes: &[u8], content_type: &str) -> Result<Rendered, PictureFault> {
    if bytes.len() > PICTURE_BYTES_MAX {
        return Err(PictureFault::TooLarge);
    }
    let label = content_type.split(';').next().unwrap_or_default().trim();
    let labels = ["image/png", "image/jpeg", "image/webp"];
    if !labels.iter().any(|known| known.eq_ignore_ascii_case(label)) {
        return Err(PictureFault::Unsupported);
    }
    let original = flatten(&decode(bytes)?);
    let (width, height) = original.dimensions();
    let full = if width.max(height) > FULL_SIDE_MAX {
        let scaled = |side: u32| (side * FULL_SIDE_MAX / width.max(height)).max(1);
        imageops::resize(&original, scaled(width), scaled(height), FilterType::CatmullRom)
    } else {
        original
    };
    let thumbnail = square(&full, THUMBNAIL_SIDE);
    let tiny = square(&full, TINY_SIDE);
    Ok(Rendered {
        full: jpeg(&full, FULL_QUALITY)?,
        thumbnail: jpeg(&thumbnail, FULL_QUALITY)?,
        tiny: encode_tiny(tiny)?,
    })
}

fn decode(bytes: &[u8]) -> Result<DynamicImage, PictureFault> {
    let format = match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP)) => format,
        _ => return Err(PictureFault::Unsupported),
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(PICTURE_SIDE_MAX);
    limits.max_image_height = Some(PICTURE_SIDE_MAX);
    limits.max_alloc = Some(DECODE_BYTES_MAX);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(judge)?;
    let (width, height) = decoder.dimensions();
    if width.max(height) > PICTURE_SIDE_MAX {
        return Err(PictureFault::TooManyPixels);
    }
    if width == 0 || height == 0 {
        return Err(PictureFault::Damaged);
    }
    // The only thing that the metadata is good for: which side is up.
    let upright = decoder.orientation().ok();
    let mut picture = DynamicImage::from_decoder(decoder).map_err(judge)?;
    if let Some(upright) = upright {
        picture.apply_orientation(upright);
    }
    Ok(picture)
}

fn judge(error: ImageError) -> PictureFault {
    match error {
        ImageError::Limits(_) => PictureFault::TooManyPixels,
        ImageError::Unsupported(_) => PictureFault::Unsupported,
        ImageError::Decoding(_)
        | ImageError::Encoding(_)
        | ImageError::IoError(_)
        | ImageError::Parameter(_) => PictureFault::Damaged,
    }
}

fn flatten(picture: &DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let source = picture.to_rgba8();
    RgbImage::from_fn(source.width(), source.height(), |x, y| {
        let [red, green, blue, alpha] = source.get_pixel(x, y).0.map(u32::from);
        let on_white = |level: u32| ((level * alpha + 255 * (255 - alpha)) / 255) as u8;
        image::Rgb([on_white(red), on_white(green), on_white(blue)])
    })
}

/// The middle of the picture. Cut first, then scaled: a line of pixels must not grow into a large plane.
fn square(picture: &RgbImage, side: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let cut = width.min(height);
    let (x, y) = ((width - cut) / 2, (height - cut) / 2);
    let middle = imageops::crop_imm(picture, x, y, cut, cut);
    imageops::resize(&*middle, side, side, FilterType::CatmullRom)
}

fn jpeg(picture: &RgbImage, quality: u8) -> Result<Picture, PictureFault> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(picture).map_err(judge)?;
    Ok(encoded(bytes, "image/jpeg", picture))
}

fn webp(picture: &RgbImage) -> Result<Picture, PictureFault> {
    let mut bytes = Vec::new();
    WebPEncoder::new_lossless(&mut bytes)
        .encode(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .map_err(judge)?;
    Ok(encoded(bytes, "image/webp", picture))
}

fn encoded(bytes: Vec<u8>, content_type: &'static str, picture: &RgbImage) -> Picture {
    Picture { bytes, content_type, width: picture.width(), height: picture.height() }
}

/// Without loss if that fits, which it does for drawings; else as good as fits, blurred ever more for the pictures
/// that no quality makes small, and at last in one colour.
fn encode_tiny(mut picture: RgbImage) -> Result<Picture, PictureFault> {
    let fits = |made: &Picture| made.bytes.len() <= TINY_BYTES_MAX;
    let exact = webp(&picture)?;
    if fits(&exact) {
        return Ok(exact);
    }
    for detail in [TINY_SIDE, TINY_SIDE / 4, 1] {
        if detail < TINY_SIDE {
            let coarse = square(&picture, detail);
            picture = square(&coarse, TINY_SIDE);
        }
        for quality in TINY_QUALITIES {
            let made = jpeg(&picture, quality)?;
            if fits(&made) {
                return Ok(made);
            }
        }
    }
    Err(PictureFault::Damaged) // One colour always fits.
}

/// Called once with what was made, on a worker; on the caller's thread when the queue is full.
pub type Done = Box<dyn FnOnce(Result<Rendered, PictureFault>) + Send>;

struct Job {
    bytes: Vec<u8>,
    content_type: String,
    done: Done,
}

/// A bounded pool that renders pictures beside the shards.
pub struct Pictures {
    jobs: Option<SyncSender<Job>>,
    workers: Vec<JoinHandle<()>>,
}

impl Pictures {
    /// Starts so many workers, at least one.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE_MAX);
        let queue = Arc::new(Mutex::new(queue));
        let workers = (0..threads.max(1))
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::Builder::new().name("pictures".to_owned()).spawn(move || work(&queue))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { jobs: Some(jobs), workers })
    }

    /// Renders beside the caller. A full queue is `Busy` at once.
    pub fn render(&self, bytes: Vec<u8>, content_type: &str, done: Done) {
        // What cannot pass is not worth a place in the queue.
        if bytes.len() > PICTURE_BYTES_MAX {
            return done(Err(PictureFault::TooLarge));
        }
        let job = Job { bytes, content_type: content_type.to_owned(), done };
        let Some(jobs) = &self.jobs else { return (job.done)(Err(PictureFault::Busy)) };
        if let Err(refused) = jobs.try_send(job) {
            use std::sync::mpsc::TrySendError::{Disconnected, Full};
            let (Full(job) | Disconnected(job)) = refused;
            (job.done)(Err(PictureFault::Busy));
        }
    }
}

impl Drop for Pictures {
    fn drop(&mut self) {
        self.jobs = None; // The workers finish what waits and end.
        for worker in self.workers.drain(..) {
            drop(worker.join());
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { bytes, content_type, done }) = job else { return };
        done(render(&bytes, &content_type));
    }
}

#[cfg(test)]
mod tests;

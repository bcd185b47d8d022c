use std::sync::mpsc::channel;
use std::time::Duration;

use image::{GenericImageView as _, ImageEncoder as _, Rgba, RgbaImage};
use types::Rng;

use super::*;

fn noise(width: u32, height: u32, seed: u64) -> DynamicImage {
    let mut octets = vec![0; (width * height * 3) as usize];
    Rng::from_number(seed).fill(&mut octets);
    DynamicImage::ImageRgb8(RgbImage::from_raw(width, height, octets).unwrap())
}

fn slope(width: u32, height: u32) -> DynamicImage {
    DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, 128])
    }))
}

fn file(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn check_sizes(made: &Rendered) {
    for (picture, side) in [(&made.full, 0), (&made.thumbnail, 256), (&made.tiny, 48)] {
        let format = image::guess_format(&picture.bytes).unwrap();
        assert_eq!(format.to_mime_type(), picture.content_type);
        let read = image::load_from_memory(&picture.bytes).unwrap();
        assert_eq!(read.dimensions(), (picture.width, picture.height));
        assert!(side == 0 || read.dimensions() == (side, side));
    }
    assert!(made.full.width.max(made.full.height) <= FULL_SIDE_MAX);
    assert!(made.tiny.bytes.len() <= TINY_BYTES_MAX, "{} bytes", made.tiny.bytes.len());
}

#[test]
fn every_kind_and_shape_becomes_three_pictures() {
    let formats = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP];
    let pictures = [
        slope(1, 1),
        slope(3, 700),
        slope(4096, 1),
        slope(1200, 720),
        noise(200, 300, 1),
        noise(48, 48, 2),
        slope(300, 300).grayscale(),
    ];
    for picture in &pictures {
        for format in formats {
            if format == ImageFormat::WebP && picture.color() == image::ColorType::L8 {
                continue; // The encoder of the tests has no grey.
            }
            check_sizes(&render(&file(picture, format), "image/png; x=y").unwrap());
        }
    }
    let made = render(&file(&slope(1200, 720), ImageFormat::Png), "IMAGE/PNG").unwrap();
    assert_eq!((made.full.width, made.full.height), (1024, 614));
}

#[test]
fn tiny_keeps_its_limit_whatever_the_picture() {
    for seed in 0..12 {
        let picture = noise(48 + seed as u32, 48, seed);
        let blocks = picture.resize_exact(7, 5, FilterType::Nearest);
        let stripes = blocks.resize_exact(96, 96, FilterType::Nearest);
        for picture in [picture, stripes] {
            check_sizes(&render(&file(&picture, ImageFormat::Png), "image/png").unwrap());
        }
    }
    let logo = DynamicImage::ImageRgb8(RgbImage::from_pixel(100, 100, image::Rgb([200, 0, 0])));
    let made = render(&file(&logo, ImageFormat::Png), "image/png").unwrap();
    assert_eq!(made.tiny.content_type, "image/webp");
}

#[test]
fn transparency_becomes_white() {
    let clear = DynamicImage::ImageRgba8(RgbaImage::from_pixel(60, 60, Rgba([0, 0, 0, 0])));
    let made = render(&file(&clear, ImageFormat::Png), "image/png").unwrap();
    let tiny = image::load_from_memory(&made.tiny.bytes).unwrap().to_rgb8();
    assert_eq!(tiny.get_pixel(20, 20).0, [255, 255, 255]);
}

/// A PNG that is right but for its size, with the checksum of its header made new.
fn declared(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = file(&slope(8, 8), ImageFormat::Png);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = bytes[12..29].iter().fold(!0u32, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    });
    bytes[29..33].copy_from_slice(&(!crc).to_be_bytes());
    bytes
}

#[test]
fn bombs_are_refused_before_they_are_decoded() {
    for (width, height) in [(4097, 8), (8, 4097), (60_000, 60_000), (u32::MAX >> 1, u32::MAX >> 1)]
    {
        let result = render(&declared(width, height), "image/png");
        assert_eq!(result, Err(PictureFault::TooManyPixels), "{width}x{height}");
    }
    let mut bytes = file(&slope(64, 64), ImageFormat::Jpeg);
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bytes[frame + 5..frame + 9].fill(0xff);
    assert_eq!(render(&bytes, "image/jpeg"), Err(PictureFault::TooManyPixels));
    let large = vec![0; PICTURE_BYTES_MAX + 1];
    assert_eq!(render(&large, "image/png"), Err(PictureFault::TooLarge));
}

#[test]
fn other_content_is_refused() {
    let png = file(&slope(8, 8), ImageFormat::Png);
    for label in ["image/svg+xml", "text/html", "", "image/gif"] {
        assert_eq!(render(&png, label), Err(PictureFault::Unsupported), "{label}");
    }
    for content in [&b"GIF89a\x01\0\x01\0\0\0\0;"[..], b"<svg/>", b"", b"BM", b"%PDF-1.4"] {
        assert_eq!(render(content, "image/png"), Err(PictureFault::Unsupported));
    }
}

#[test]
fn damaged_files_are_refused_and_never_panic() {
    let mut rng = Rng::from_number(5);
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
        let good = file(&noise(20, 20, 9), format);
        for cut in [good.len() / 4, good.len() / 2] {
            let result = render(&good[..cut], "image/png");
            // A JPEG that is cut off in its pixels may be shown as far as it goes.
            assert!(result.is_err() || format == ImageFormat::Jpeg, "{format:?} {cut}");
        }
        for _ in 0..150 {
            let mut bad = good.clone();
            for _ in 0..1 + rng.below(4) {
                let at = rng.below(bad.len() as u64) as usize;
                bad[at] = rng.below(256) as u8;
            }
            if let Ok(made) = render(&bad, "image/webp") {
                assert!(made.tiny.bytes.len() <= TINY_BYTES_MAX);
            }
        }
    }
}

#[test]
fn metadata_is_used_for_the_upright_side_and_dropped() {
    // One IFD with the orientation "turn right" and a text that must not get out.
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    exif.extend_from_slice(b"SECRET PLACE");
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new(&mut bytes);
    encoder.set_exif_metadata(exif).unwrap();
    encoder.encode_image(&slope(120, 80)).unwrap();
    bytes.extend_from_slice(b"SECRET TAIL");
    let contains = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
    assert!(contains(&bytes, b"SECRET PLACE"));
    let made = render(&bytes, "image/jpeg").unwrap();
    assert_eq!((made.full.width, made.full.height), (80, 120));
    for picture in [&made.full, &made.thumbnail, &made.tiny] {
        assert!(!contains(&picture.bytes, b"SECRET") && !contains(&picture.bytes, b"Exif"));
    }
}

#[test]
fn workers_answer_all_and_a_full_queue_is_said() {
    let pictures = Pictures::start(2).unwrap();
    let good = file(&slope(40, 40), ImageFormat::Png);
    let (sender, answers) = channel();
    for _ in 0..100 {
        let sender = sender.clone();
        let done = Box::new(move |made| sender.send(made).unwrap());
        pictures.render(good.clone(), "image/png", done);
    }
    let all: Vec<_> =
        (0..100).map(|_| answers.recv_timeout(Duration::from_secs(60)).unwrap()).collect();
    let made = all.iter().filter(|made| made.is_ok()).count();
    assert!(made >= QUEUE_MAX);
    assert!(all.iter().all(|made| matches!(made, Ok(_) | Err(PictureFault::Busy))));
}

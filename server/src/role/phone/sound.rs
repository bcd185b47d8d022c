//! WAV files and RTP sockets.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use tokio::net::UdpSocket;

use super::Fault;

/// Samples of a file that is played, at its own rate: ten minutes at 48 kHz.
const WAV_MAX: usize = 600 * 48_000;
/// Rates that are whole multiples of ours.
const RATES: [u32; 4] = [8_000, 16_000, 24_000, 48_000];
/// How often a pair of ports is tried for.
const PAIR_TRIES: usize = 64;

/// Reads a file as 8,000 samples a second, the channels mixed.
pub fn read(file: &Path) -> Result<Vec<i16>, Fault> {
    let wrong = |why: String| Fault::wrong("--play", format!("{}: {why}", file.display()));
    let mut reader = WavReader::open(file).map_err(|why| wrong(why.to_string()))?;
    let spec = reader.spec();
    if spec.sample_format != SampleFormat::Int || spec.bits_per_sample != 16 {
        return Err(wrong("wants 16-bit samples".to_owned()));
    }
    if !RATES.contains(&spec.sample_rate) || spec.channels == 0 {
        return Err(wrong(format!("{} Hz; wants one of {RATES:?}", spec.sample_rate)));
    }
    let samples: Result<Vec<i16>, _> = reader.samples::<i16>().take(WAV_MAX).collect();
    let samples = samples.map_err(|why| wrong(why.to_string()))?;
    let mix = |frame: &[i16]| {
        let sum: i32 = frame.iter().map(|sample| i32::from(*sample)).sum();
        sum / frame.len() as i32
    };
    let mono: Vec<i32> = samples.chunks_exact(usize::from(spec.channels)).map(mix).collect();
    let step = (spec.sample_rate / RATES[0]) as usize;
    // The mean of each group: the plainest filter against what 8 kHz cannot carry.
    let group = |group: &[i32]| (group.iter().sum::<i32>() / group.len() as i32) as i16;
    Ok(mono.chunks(step).map(group).collect())
}

/// Writes 8,000 samples a second.
pub fn write(file: &Path, samples: &[i16]) -> Result<(), Fault> {
    let wrong = |why| Fault::wrong("--record", format!("{}: {why}", file.display()));
    let spec = WavSpec {
        channels: 1,
        sample_rate: RATES[0],
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut writer = WavWriter::create(file, spec).map_err(wrong)?;
    for sample in samples {
        writer.write_sample(*sample).map_err(wrong)?;
    }
    writer.finalize().map_err(wrong)
}

/// Where RTP comes in. The odd port above it is held, so that nobody else gets our RTCP.
pub struct Rtp {
    pub socket: UdpSocket,
    _control: Option<UdpSocket>,
    pub address: SocketAddr,
}

impl Rtp {
    pub async fn open(ip: IpAddr) -> Result<Self, Fault> {
        let fault = |why| Fault::failed("opening the RTP socket (--local)", why);
        // Those that did not fit stay open until one does, or the system would give them again.
        let mut unfit = Vec::new();
        for _ in 0..PAIR_TRIES {
            let socket = UdpSocket::bind((ip, 0)).await.map_err(fault)?;
            let address = socket.local_addr().map_err(fault)?;
            if address.port() % 2 == 0
                && let Ok(control) = UdpSocket::bind((ip, address.port() + 1)).await
            {
                return Ok(Self { socket, _control: Some(control), address });
            }
            unfit.push(socket);
        }
        let socket = UdpSocket::bind((ip, 0)).await.map_err(fault)?;
        let address = socket.local_addr().map_err(fault)?;
        Ok(Self { socket, _control: None, address })
    }
}

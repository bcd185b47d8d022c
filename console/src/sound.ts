// Microphone, loudspeaker, levels and the sounds of a telephone.

import { words } from "./words.js";

export interface Devices {
  microphones: MediaDeviceInfo[];
  speakers: MediaDeviceInfo[];
}

/** What people chose, kept in the browser. */
export const choice = {
  get microphone(): string {
    return localStorage.getItem("carillon.microphone") ?? "";
  },
  set microphone(id: string) {
    localStorage.setItem("carillon.microphone", id);
  },
  get speaker(): string {
    return localStorage.getItem("carillon.speaker") ?? "";
  },
  set speaker(id: string) {
    localStorage.setItem("carillon.speaker", id);
  },
  get clean(): boolean {
    return localStorage.getItem("carillon.clean") !== "no";
  },
  set clean(clean: boolean) {
    localStorage.setItem("carillon.clean", clean ? "yes" : "no");
  },
};

/** The microphone, or why there is none. */
export async function openMicrophone(): Promise<{ stream?: MediaStream; why: string }> {
  if (!window.isSecureContext || navigator.mediaDevices === undefined) {
    return { why: words.phone.microphones.insecure };
  }
  const clean = choice.clean;
  const audio: MediaTrackConstraints = {
    echoCancellation: clean,
    noiseSuppression: clean,
    autoGainControl: clean,
    ...(choice.microphone === "" ? {} : { deviceId: { ideal: choice.microphone } }),
  };
  try {
    return { stream: await navigator.mediaDevices.getUserMedia({ audio }), why: "" };
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    const { denied, missing, busy, other } = words.phone.microphones;
    const whys: Record<string, string> = {
      NotAllowedError: denied,
      NotFoundError: missing,
      NotReadableError: busy,
    };
    return { why: whys[name] ?? other };
  }
}

export async function devices(): Promise<Devices> {
  const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  const named = (kind: MediaDeviceKind) => all.filter((one) => one.kind === kind && one.deviceId !== "");
  return { microphones: named("audioinput"), speakers: named("audiooutput") };
}

let shared: AudioContext | undefined;

function context(): AudioContext {
  shared ??= new AudioContext();
  // Refused before anybody has touched the page; the next sound asks again.
  if (shared.state === "suspended") void shared.resume().catch(() => undefined);
  return shared;
}

/** How loud a stream is, 0 to 1, whenever it is asked. */
export function meter(stream: MediaStream): { level: () => number; end: () => void } {
  const source = context().createMediaStreamSource(stream);
  const analyser = new AnalyserNode(context(), { fftSize: 512 });
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  return {
    level: () => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, one) => sum + one * one, 0) / samples.length;
      // From -60 dB to 0 dB.
      return Math.max(0, Math.min(1, 1 + Math.log10(Math.sqrt(power) + 1e-6) / 3));
    },
    end: () => {
      source.disconnect();
    },
  };
}

/** One tone of some partials, which fades. Units: Hz, seconds from now. */
function strike(pitches: number[], at: number, length: number, loudness: number): void {
  const sound = context();
  const begin = sound.currentTime + at;
  pitches.forEach((frequency, place) => {
    const volume = new GainNode(sound, { gain: 0 });
    volume.gain.setValueAtTime(loudness / (place + 1), begin);
    volume.gain.exponentialRampToValueAtTime(1e-4, begin + length);
    const tone = new OscillatorNode(sound, { frequency });
    tone.connect(volume).connect(sound.destination);
    tone.start(begin);
    tone.stop(begin + length);
  });
}

/** A small carillon: what a call sounds like here. Ends with the returned function. */
export function ringBells(): () => void {
  const bells = [659.3, 523.3, 587.3, 392];
  const peal = () => bells.forEach((pitch, place) => strike([pitch, pitch * 2.4, pitch * 3], place * 0.22, 1.4, 0.12));
  peal();
  const timer = window.setInterval(peal, 3_000);
  return () => window.clearInterval(timer);
}

/** What a caller hears while it rings there. */
export function ringBack(): () => void {
  const tone = () => strike([425], 0, 1, 0.06);
  tone();
  const timer = window.setInterval(tone, 5_000);
  return () => window.clearInterval(timer);
}

export function testTone(): void {
  strike([523.3, 1256, 1570], 0, 1.6, 0.2);
}

/** The tones of a telephone's keys. Units: Hz */
export function keyTone(key: string): void {
  const place = "123A456B789C*0#D".indexOf(key);
  const low = [697, 770, 852, 941][Math.floor(place / 4)];
  const high = [1209, 1336, 1477, 1633][place % 4];
  if (low !== undefined && high !== undefined) strike([low, high], 0, 0.18, 0.05);
}

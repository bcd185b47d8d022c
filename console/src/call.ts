// One call of the phone: its connection, its sound, and how it stands.

import { short } from "./api.js";
import type { Heard, Line } from "./line.js";
import { choice } from "./sound.js";

export type Standing = "incoming" | "calling" | "ringing" | "talking" | "ended";

export interface Figures {
  loss: number;
  jitter: number;
  trip: number | undefined;
}

/** How long candidates are gathered: the server has an address of its own and waits for none of ours. Units: ms. */
const GATHER_MAX = 1_000;

export class Call {
  id = "";
  standing: Standing;
  name: string;
  picture = "";
  why = "";
  help = "";
  note = "";
  keys = "";
  held = false;
  theyHold = false;
  muted = false;
  /** When they began to talk. Units: ms since 1970. */
  since = 0;
  figures: Figures | undefined;
  readonly sound = new Audio();
  private readonly connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  private track: MediaStreamTrack | undefined;
  private changing = false;
  private wanted: (() => Promise<void>) | undefined;

  constructor(
    readonly peer: string,
    readonly outgoing: boolean,
    private readonly line: Line,
    private readonly changed: () => void,
  ) {
    this.name = short(peer);
    this.standing = outgoing ? "calling" : "incoming";
    this.sound.autoplay = true;
    this.connection.ontrack = (event) => {
      const heard = event.streams[0] ?? new MediaStream([event.track]);
      this.sound.srcObject = heard;
      void this.chooseSpeaker();
    };
  }

  get heardStream(): MediaStream | undefined {
    return (this.sound.srcObject as MediaStream | null) ?? undefined;
  }

  async chooseSpeaker(): Promise<void> {
    if (choice.speaker !== "" && "setSinkId" in this.sound) {
      // A loudspeaker that was unplugged: the default one is better than none.
      await this.sound.setSinkId(choice.speaker).catch(() => undefined);
    }
  }

  private send(microphone: MediaStream | undefined): void {
    this.track = microphone?.getAudioTracks()[0]?.clone();
    if (this.track === undefined) this.connection.addTransceiver("audio", { direction: "recvonly" });
    else this.connection.addTrack(this.track, new MediaStream([this.track]));
  }

  /** Another microphone, in the middle of a call. */
  async speakBy(microphone: MediaStream | undefined): Promise<void> {
    const track = microphone?.getAudioTracks()[0]?.clone();
    const sender = this.connection.getSenders()[0];
    if (track === undefined || sender === undefined) return;
    this.track?.stop();
    this.track = track;
    track.enabled = !this.muted;
    await sender.replaceTrack(track);
    if (this.connection.getTransceivers()[0]?.direction === "recvonly") await this.offerAgain();
  }

  /** Our description, with candidates. */
  private async described(kind: "offer" | "answer"): Promise<string> {
    const made = kind === "offer" ? await this.connection.createOffer() : await this.connection.createAnswer();
    await this.connection.setLocalDescription(made);
    if (this.connection.iceGatheringState !== "complete") {
      await new Promise<void>((done) => {
        this.connection.onicegatheringstatechange = () => {
          if (this.connection.iceGatheringState === "complete") done();
        };
        window.setTimeout(done, GATHER_MAX);
      });
    }
    return this.connection.localDescription?.sdp ?? "";
  }

  async begin(microphone: MediaStream | undefined): Promise<void> {
    this.send(microphone);
    this.id = (await this.line.say({ do: "call", to: this.peer, sdp: await this.described("offer") })) ?? "";
  }

  async answer(offer: string | undefined, microphone: MediaStream | undefined): Promise<void> {
    if (offer === undefined) {
      this.send(microphone);
      const sdp = await this.described("offer");
      await this.line.say({ do: "answer", call: this.id, sdp });
      return;
    }
    await this.connection.setRemoteDescription({ type: "offer", sdp: offer });
    this.send(microphone);
    await this.line.say({ do: "answer", call: this.id, sdp: await this.described("answer") });
    this.look();
  }

  async heard(heard: Heard): Promise<void> {
    switch (heard.event) {
      case "ringing":
        this.standing = "ringing";
        await this.accept(heard.sdp, "pranswer");
        break;
      case "answered":
        this.standing = "talking";
        this.since = Date.now();
        await this.accept(heard.sdp, "answer");
        break;
      case "agreed":
        this.changing = false;
        await this.accept(heard.sdp, "answer");
        await this.goOn();
        break;
      case "refused":
        this.changing = false;
        await this.connection.setLocalDescription({ type: "rollback" }).catch(() => undefined);
        await this.goOn();
        break;
      case "change":
        await this.agree(heard.sdp);
        break;
    }
    this.look();
  }

  private async accept(sdp: string | undefined, type: RTCSdpType): Promise<void> {
    if (sdp !== undefined && sdp !== "" && this.connection.signalingState.startsWith("have-")) {
      await this.connection.setRemoteDescription({ type, sdp });
    }
  }

  /** They change the session, or ask for our offer. */
  private async agree(sdp: string | undefined): Promise<void> {
    let ours: string;
    if (sdp === undefined) {
      ours = await this.described("offer");
    } else {
      await this.connection.setRemoteDescription({ type: "offer", sdp });
      ours = await this.described("answer");
    }
    await this.line.say({ do: "agree", call: this.id, sdp: ours });
  }

  /** One change at a time; the last wish is kept until the one before is settled. */
  private async change(make: () => Promise<void>): Promise<void> {
    if (this.changing) {
      this.wanted = make;
      return;
    }
    this.changing = true;
    try {
      await make();
    } catch (problem) {
      this.changing = false;
      throw problem;
    }
  }

  private async goOn(): Promise<void> {
    const wanted = this.wanted;
    this.wanted = undefined;
    if (wanted !== undefined) await this.change(wanted);
  }

  async hold(hold: boolean): Promise<void> {
    this.held = hold;
    if (this.track !== undefined) this.track.enabled = !hold && !this.muted;
    await this.offerAgain();
  }

  private async offerAgain(): Promise<void> {
    await this.change(async () => {
      const transceiver = this.connection.getTransceivers()[0];
      if (transceiver !== undefined) {
        const speaks = this.track !== undefined;
        transceiver.direction = this.held
          ? speaks ? "sendonly" : "inactive"
          : speaks ? "sendrecv" : "recvonly";
      }
      await this.line.say({ do: "change", call: this.id, sdp: await this.described("offer") });
    });
  }

  mute(muted: boolean): void {
    this.muted = muted;
    if (this.track !== undefined) this.track.enabled = !muted && !this.held;
    this.changed();
  }

  async press(key: string): Promise<void> {
    await this.line.say({ do: "keys", call: this.id, keys: key });
  }

  /** Loss and jitter of what we hear, in the last moments. */
  async measure(): Promise<void> {
    const report = await this.connection.getStats();
    let trip: number | undefined;
    for (const one of report.values()) {
      if (one.type === "candidate-pair" && one.nominated === true && one.currentRoundTripTime !== undefined) {
        trip = one.currentRoundTripTime * 1_000;
      }
    }
    for (const one of report.values()) {
      if (one.type === "inbound-rtp" && one.kind === "audio") {
        const all = (one.packetsReceived ?? 0) + (one.packetsLost ?? 0);
        const loss = all === 0 ? 0 : (100 * Math.max(0, one.packetsLost ?? 0)) / all;
        this.figures = { loss, jitter: (one.jitter ?? 0) * 1_000, trip };
      }
    }
  }

  private look(): void {
    const direction = this.connection.getTransceivers()[0]?.currentDirection;
    this.theyHold =
      this.standing === "talking" && !this.held && this.track !== undefined &&
      (direction === "inactive" || direction === "recvonly");
    this.changed();
  }

  end(): void {
    this.standing = "ended";
    this.track?.stop();
    this.connection.close();
    this.sound.srcObject = null;
  }
}

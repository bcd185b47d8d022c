// One call of the phone: its connection, its sound, and how it stands.

import { short } from "./api.js";
import type { Heard, Kept, Line } from "./line.js";
import type { Remembered } from "./memory.js";
import { choice } from "./sound.js";

export type Standing = "incoming" | "calling" | "ringing" | "talking" | "ended";

export interface Figures {
  loss: number;
  jitter: number;
  trip: number | undefined;
}

/** How long candidates are gathered: the server has an address of its own and waits for none of ours. Units: ms. */
const GATHER_MAX = 1_000;
/** A call that is taken up by a page that was loaded again: how often, and after how long, it offers where it was refused. */
const ANEW_MAX = 20;
const ANEW_WAIT = 1_000;

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
  /** The browser plays nothing before somebody has touched the page. */
  silent = false;
  readonly sound = new Audio();
  private readonly connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  private track: MediaStreamTrack | undefined;
  private changing = false;
  private wanted: (() => Promise<void>) | undefined;
  /** An answer to what we have offered is due; any other one is of a page of before. */
  private due = false;
  /** Offers that are left until the call is taken up; none: it is this page's own. */
  private anew = 0;
  private kinds: string[] = [];

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
      void this.listen();
      void this.chooseSpeaker();
    };
  }

  /** A call that the server has kept, as far as this tab remembers it. */
  static again(kept: Kept, before: Remembered | undefined, line: Line, changed: () => void): Call {
    const call = new Call(before?.peer ?? kept.peer, before?.outgoing ?? true, line, changed);
    call.id = kept.call;
    call.standing = kept.standing;
    call.anew = ANEW_MAX;
    call.since = before?.since ?? Date.now();
    if (before !== undefined) {
      ({ name: call.name, picture: call.picture, held: call.held, muted: call.muted, kinds: call.kinds } = before);
    }
    return call;
  }

  /** What a page that is loaded again must know of it. */
  get remembered(): Remembered {
    const { id, peer, name, picture, outgoing, since, held, muted } = this;
    const now = this.connection.getTransceivers().map((one) => one.receiver.track.kind);
    return { id, peer, name, picture, outgoing, since, held, muted, kinds: now.length === 0 ? this.kinds : now };
  }

  async listen(): Promise<void> {
    this.silent = await this.sound.play().then(() => false, (why: unknown) => why instanceof DOMException && why.name === "NotAllowedError");
    this.changed();
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

  /** Brings the sound to this page, which was loaded again: by a path of its own. */
  async takeUp(microphone: MediaStream | undefined): Promise<void> {
    const place = Math.max(0, this.kinds.indexOf("audio"));
    for (const kind of this.kinds.slice(0, place)) this.connection.addTransceiver(kind, { direction: "inactive" });
    this.send(microphone);
    for (const kind of this.kinds.slice(place + 1)) this.connection.addTransceiver(kind, { direction: "inactive" });
    if (this.track !== undefined) this.track.enabled = !this.muted && !this.held;
    if (this.standing === "talking") await this.offerAnew();
  }

  /** The page of before may have begun a change, or they may: then it is tried again. */
  private async offerAnew(): Promise<void> {
    while (this.anew-- > 0 && this.standing === "talking") {
      try {
        return await this.offerAgain();
      } catch (problem) {
        if ((problem as { code?: string }).code !== "web.wrong_moment") throw problem;
        await new Promise((done) => window.setTimeout(done, ANEW_WAIT));
      }
    }
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
      this.due = true;
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
        if (this.anew > 0) await this.offerAnew();
        break;
      case "agreed":
        if (!this.due) break;
        this.due = this.changing = false;
        this.anew = 0;
        await this.accept(heard.sdp, "answer");
        await this.goOn();
        break;
      case "refused":
        if (!this.due) break;
        this.due = this.changing = false;
        await this.connection.setLocalDescription({ type: "rollback" }).catch(() => undefined);
        if (this.anew > 0) {
          await new Promise((done) => window.setTimeout(done, ANEW_WAIT));
          await this.offerAnew();
        } else {
          await this.goOn();
        }
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
    this.due = sdp === undefined;
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
      this.due = true;
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

"""A phone on pjsua2 that takes its orders as lines of JSON and tells its events the same way.

It plays says.wav into every call and records what it hears into hears.wav, both in its working folder.
"""
import json
import queue
import sys
import threading

import pjsua2 as pj

orders = queue.Queue()
MEDIA = {
    pj.PJSUA_CALL_MEDIA_ACTIVE: "both ways",
    pj.PJSUA_CALL_MEDIA_LOCAL_HOLD: "held",
    pj.PJSUA_CALL_MEDIA_REMOTE_HOLD: "held by the other side",
}


def tell(kind, **more):
    print(json.dumps({"event": kind, **more}), flush=True)


class Call(pj.Call):
    def __init__(self, phone, call_id=pj.PJSUA_INVALID_ID):
        super().__init__(phone.account, call_id)
        self.phone = phone

    def onCallState(self, _):
        info = self.getInfo()
        tell("state", state=info.stateText, status=info.lastStatusCode, reason=info.lastReason)
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.phone.calls.remove(self)

    def onCallMediaState(self, _):
        info = self.getInfo()
        for index, media in enumerate(info.media):
            if media.type != pj.PJMEDIA_TYPE_AUDIO:
                continue
            if media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                sound = self.getAudioMedia(index)
                self.phone.player.startTransmit(sound)
                sound.startTransmit(self.phone.recorder)
            tell("media", state=MEDIA.get(media.status, str(media.status)))

    def onCallTransferStatus(self, progress):
        tell("transfer", status=progress.statusCode, final=progress.finalNotify)
        progress.cont = not progress.finalNotify

    def onDtmfDigit(self, digit):
        tell("dtmf", digit=digit.digit)


class Account(pj.Account):
    def __init__(self, phone):
        super().__init__()
        self.phone = phone

    def onRegState(self, state):
        tell("registration", status=state.code)

    def onIncomingCall(self, incoming):
        call = Call(self.phone, incoming.callId)
        self.phone.calls.append(call)
        tell("incoming", remote=call.getInfo().remoteUri)

    def onInstantMessage(self, message):
        tell("message", sender=message.fromUri, text=message.msgBody)

    def onInstantMessageStatus(self, status):
        tell("sent", status=status.code)


class Phone:
    def __init__(self, options):
        self.calls = []
        self.endpoint = pj.Endpoint()
        self.endpoint.libCreate()
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.logConfig.level = 0
        config.logConfig.consoleLevel = 0
        config.medConfig.noVad = True
        config.medConfig.clockRate = 8000
        config.medConfig.sndClockRate = 8000
        self.endpoint.libInit(config)
        transport = pj.TransportConfig()
        transport.port = options["port"]
        transport.boundAddress = options["address"]
        transport.publicAddress = options["address"]
        transport.tlsConfig.verifyServer = False
        kind = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}
        self.endpoint.transportCreate(kind[options["transport"]], transport)
        self.endpoint.libStart()
        self.endpoint.audDevManager().setNullDev()
        for codec in self.endpoint.codecEnum2():
            wanted = 255 if codec.codecId.startswith("PCMU") else 0
            self.endpoint.codecSetPriority(codec.codecId, wanted)
        self.player = pj.AudioMediaPlayer()
        self.player.createPlayer("says.wav", 0)
        self.recorder = pj.AudioMediaRecorder()
        self.recorder.createRecorder("hears.wav")
        self.account = Account(self)
        account = pj.AccountConfig()
        parameter = "" if options["transport"] == "udp" else ";transport=" + options["transport"]
        account.idUri = "sip:{user}@{server}".format(**options)
        account.regConfig.registrarUri = "sip:{server}".format(**options) + parameter
        account.sipConfig.proxies.append("sip:{server}".format(**options) + parameter + ";lr")
        login = pj.AuthCredInfo("digest", "*", options["user"], 0, options["password"])
        account.sipConfig.authCreds.append(login)
        account.mediaConfig.transportConfig.boundAddress = options["address"]
        if options.get("timer") == "required":
            account.callConfig.timerUse = pj.PJSUA_SIP_TIMER_REQUIRED
            account.callConfig.timerMinSESec = 90
            account.callConfig.timerSessExpiresSec = 90
        if options.get("prack") == "required":
            account.callConfig.prackUse = pj.PJSUA_100REL_MANDATORY
        self.account.create(account)

    def obey(self, order):
        name = order["do"]
        plain = pj.CallOpParam(True)
        call = self.calls[order.get("call", -1)] if self.calls else None
        if name == "call":
            call = Call(self)
            self.calls.append(call)
            call.makeCall(order["uri"], plain)
        elif name == "answer":
            plain.statusCode = order.get("status", 200)
            call.answer(plain)
        elif name == "hang_up":
            call.hangup(plain)
        elif name == "hold":
            call.setHold(plain)
        elif name == "resume":
            plain.opt.flag = pj.PJSUA_CALL_UNHOLD
            call.reinvite(plain)
        elif name == "update":
            call.update(plain)
        elif name == "transfer":
            call.xfer(order["uri"], pj.CallOpParam())
        elif name == "replace":
            call.xferReplaces(self.calls[order["by"]], pj.CallOpParam())
        elif name == "dtmf":
            call.dialDtmf(order["digits"])
        elif name == "message":
            buddy = pj.BuddyConfig()
            buddy.uri = order["uri"]
            self.buddy = pj.Buddy()
            self.buddy.create(self.account, buddy)
            message = pj.SendInstantMessageParam()
            message.content = order["text"]
            self.buddy.sendInstantMessage(message)
        else:
            raise ValueError(name)

    def run(self):
        while True:
            self.endpoint.libHandleEvents(20)
            try:
                order = orders.get_nowait()
            except queue.Empty:
                continue
            if order is None:
                break
            try:
                self.obey(order)
            except pj.Error as why:
                tell("refused", order=order["do"], why=why.info())
        self.endpoint.libDestroy()


def read_orders():
    for line in sys.stdin:
        orders.put(json.loads(line))
    orders.put(None)


options = json.loads(sys.stdin.readline())
phone = Phone(options)
threading.Thread(target=read_orders, daemon=True).start()
phone.run()

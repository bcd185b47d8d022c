//! One preference after the other, and calls to a single device.

use types::Transport;

use crate::directory::{Binding, Device, Known, Located};
use crate::effects::Effects;
use crate::gruu::Gruu;
use crate::leg::LegCommand;

use super::{Ring, better};

impl Ring {
    /// The one device that is wanted. Whom the call was forwarded to has others.
    pub(super) fn gruu(&self) -> Option<&Gruu> {
        self.plan.device.as_ref().filter(|gruu| gruu.user() == self.plan.user)
    }

    /// What of the user's devices is meant.
    pub(super) fn wanted(&mut self, mut located: Located, effects: &Effects<'_>) -> Located {
        let Some(gruu) = self.gruu() else { return located };
        let keys = effects.keys();
        located.bindings.retain(|binding| gruu.names(&keys, binding));
        // Other devices stay asleep.
        located.devices.retain(|device| has_binding(device, &located.bindings));
        if located.bindings.is_empty() && gruu.is_temporary() {
            self.best = 404; // It names nobody any more (RFC 5627 §5.4).
        }
        located
    }

    /// Devices of the next preference ring or wake; false when there are none left.
    pub(super) fn next_level(&mut self, effects: &mut Effects<'_>) -> bool {
        let Some(level) = self.levels.pop_front() else { return false };
        self.woke = effects.unix();
        self.wake_until = effects.now() + self.plan.wake;
        self.level_until = match self.plan.level {
            Some(level) if !self.levels.is_empty() => effects.now() + level,
            Some(_) | None => self.ring_until,
        };
        for mut ways in level {
            let target = ways.iter().find_map(|way| way.push.clone());
            match (target, ways.iter().position(|way| is_awake(way))) {
                (None, _) => {
                    let first = ways.remove(0);
                    self.invite(&first, None, ways, effects);
                }
                (Some(target), Some(awake)) => {
                    let first = ways.remove(awake);
                    ways.retain(|way| !way.is_cut());
                    self.invite(&first, Some(target.prid), ways, effects);
                }
                (Some(target), None) => {
                    // The API may know more of the same device: keys of Web Push, a second token.
                    let known = self.devices.iter().find(|device| {
                        device.target.provider == target.provider
                            && device.target.prid == target.prid
                    });
                    let device = known.cloned().unwrap_or_else(|| Device {
                        name: String::new(),
                        kind: "phone".into(),
                        target: *target,
                    });
                    self.wake(device, effects);
                }
            }
        }
        true
    }

    /// The device of this push is woken after all: the way by which it seemed to be awake led nowhere.
    pub(super) fn fall_back(&mut self, prid: &str, effects: &mut Effects<'_>) {
        let device = self.devices.iter().find(|device| device.target.prid == prid).cloned();
        if let Some(device) = device {
            self.wake(device, effects);
            self.arm(effects);
        }
    }

    /// The time of this preference is over: what rings stops ringing. Devices that were pushed may still come.
    pub(super) fn leave_level(&mut self, effects: &mut Effects<'_>) {
        for branch in self.branches.iter_mut().filter(|branch| branch.live) {
            branch.live = false;
            let why = "rang and nobody answered in the time of its preference";
            self.tried.push((branch.contact.clone(), why.into()));
            let command = LegCommand::End { status: 487, headers: Vec::new() };
            effects.leg(self.plan.session, branch.leg, command);
        }
        self.best = better(self.best, 480);
    }
}

/// Whether a device that can be woken needs no push. A page's socket ends with its page, so an open one has a page
/// behind it; a phone's connection outlives the phone's sleep.
fn is_awake(binding: &Binding) -> bool {
    matches!(binding.flow.transport, Transport::Ws | Transport::Wss) && !binding.is_cut()
}

/// Whether a device that the API knows has registered as well.
pub(super) fn has_binding(device: &Device, bindings: &[Known]) -> bool {
    let pushes = bindings.iter().filter_map(|binding| binding.push.as_ref());
    let target = &device.target;
    pushes.into_iter().any(|push| push.provider == target.provider && push.prid == target.prid)
}
